"""The linear layers of a trained PyTorch network, for the compiled forward pass."""

from typing import Any

import numpy as np
from sb3_contrib.common.torch_layers import BatchRenorm
from torch import nn

Layer = tuple[np.ndarray, np.ndarray]


def linear_layers(*modules: nn.Module) -> list[Layer]:
    """Copies of the weights (outputs, inputs) and the bias (outputs,) of each linear layer among `modules`, in order.

    A batch renormalisation, with its running moments, becomes a part of the linear layer that follows it.
    """
    layers: list[Layer] = []
    norm: BatchRenorm | None = None
    for module in (inner for outer in modules for inner in outer.modules()):
        if isinstance(module, BatchRenorm):
            norm = module
        elif isinstance(module, nn.Linear):
            weight, bias = (part.detach().cpu().numpy().astype(np.float64) for part in (module.weight, module.bias))
            if norm is not None:
                scale, shift = _moments(norm)
                weight, bias, norm = weight * scale, bias + weight @ shift, None
            layers.append((weight, bias))
    return layers


def _moments(norm: Any) -> Layer:
    """Scale and shift of the normalisation in evaluation: x * scale + shift."""
    parts = (norm.ra_mean, norm.ra_var, norm.scale, norm.bias)
    mean, variance, weight, bias = (part.detach().cpu().numpy().astype(np.float64) for part in parts)
    scale = weight / np.sqrt(variance + norm.eps)
    return scale, bias - mean * scale
