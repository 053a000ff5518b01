"""Batch normalisation over the joint batch of all ranks."""

from functools import partial
from typing import Any

import torch
from torch import nn

from MLOps.predictors import ranks


def join_batch_norms(network: nn.Module) -> None:
    """Let the network's batch norms take their statistics in training over all ranks, if there are several.

    PyTorch's SyncBatchNorm computes on GPUs alone, and refuses a rank whose share of a batch is empty.
    """
    if ranks.size() > 1:
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.forward = partial(_forward, module)  # type: ignore[method-assign]


def _forward(norm: nn.BatchNorm1d, inputs: torch.Tensor) -> torch.Tensor:
    """As BatchNorm1d of inputs (batch, channels, bars)."""
    if not norm.training:
        return nn.BatchNorm1d.forward(norm, inputs)
    values = inputs.float()
    sums, count = values.sum((0, 2)), values.new_tensor([values.shape[0] * values.shape[2]])
    totals = _AddUp.apply(torch.cat([sums, count]))
    mean, count = totals[:-1] / totals[-1], totals[-1].detach()
    centred = values - mean[:, None]
    variance = _AddUp.apply(centred.square().sum((0, 2))) / count
    with torch.no_grad():
        assert norm.momentum is not None and norm.running_mean is not None and norm.running_var is not None
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked += 1
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * count / (count - 1), norm.momentum)
    scale = norm.weight * (variance + norm.eps).rsqrt()
    return (centred * scale[:, None] + norm.bias[:, None]).to(inputs.dtype)


class _AddUp(torch.autograd.Function):
    """The sum over all ranks. Each rank's loss depends on it, so its gradient is the sum of theirs."""

    @staticmethod
    def forward(_: Any, tensor: torch.Tensor) -> torch.Tensor:
        total = tensor.clone()
        ranks.add_up([total])
        return total

    @staticmethod
    def backward(_: Any, gradient: torch.Tensor) -> torch.Tensor:
        total = gradient.clone()
        ranks.add_up([total])
        return total
