"""Uncertainty by Monte-Carlo dropout (Gal & Ghahramani, 2016)."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from MLOps.predictors.contract import relative_entropy


@contextmanager
def thinned(network: nn.Module, seed: int) -> Iterator[None]:
    """While the block runs, each dropout layer of the network (in eval mode) drops units drawn once from `seed`.

    The same units are dropped for every window and every bar, so that a window's forecast does not depend on the other
    windows of its batch.
    """
    generator = torch.Generator().manual_seed(seed)
    masks: dict[nn.Module, torch.Tensor] = {}

    def drop(module: nn.Dropout | nn.Dropout1d, inputs: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
        if module not in masks:
            units = (output.shape[1], 1) if isinstance(module, nn.Dropout1d) else (output.shape[-1],)
            kept = torch.rand(units, generator=generator, dtype=torch.float64) >= module.p
            masks[module] = (kept / (1 - module.p)).to(output.dtype)
        return output * masks[module]

    hooks = [m.register_forward_hook(drop) for m in network.modules() if isinstance(m, (nn.Dropout, nn.Dropout1d))]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def disagreement(samples: np.ndarray) -> np.ndarray:
    """Disagreement of the samples' probabilities (samples, n, classes), in [0, 1], (n,).

    The mutual information of class and network (Houlsby et al., 2011) divided by ln(classes): the entropy of the mean
    forecast minus the mean entropy of the forecasts.
    """
    return np.maximum(relative_entropy(samples.mean(axis=0)) - relative_entropy(samples).mean(axis=0), 0.0)
