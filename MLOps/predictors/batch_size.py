"""The largest batch size whose update fits in memory."""

import copy
import math

import psutil
import torch
from torch import nn

MEMORY_SHARE = 0.5  # share of the device's memory for one batch
MIN_UPDATES = 16  # least number of updates per epoch, whatever the memory


def fitting_batch_size(
    network: nn.Module, values: torch.Tensor, lookback_bars: int, sequence_bars: int, n_labels: int
) -> int:
    """The largest number of labels, a power of two, whose update fits in MEMORY_SHARE of the device's memory.

    The total memory of the device counts, not the free memory, so that the result is reproducible on a machine.

    Args:
        values: the feature table (rows, features), on the device.
        sequence_bars: number of labels in a sequence; 1 for windows.
        n_labels: number of labels in an epoch.
    """
    device = values.device
    total = (
        torch.cuda.get_device_properties(device).total_memory
        if device.type == "cuda"
        else psutil.virtual_memory().total
    )
    windows = torch.zeros(8, lookback_bars - 1 + sequence_bars, values.shape[1], device=device)
    saved = saved_bytes(copy.deepcopy(network), windows)
    # Twice, because the backward pass needs gradients of the same size.
    fitting = total * MEMORY_SHARE / (2 * saved / 8 / sequence_bars)
    return int(2 ** int(math.log2(max(1.0, min(fitting, n_labels / MIN_UPDATES)))))


def saved_bytes(network: nn.Module, windows: torch.Tensor) -> int:
    """Bytes that a forward pass saves for the backward pass."""
    sizes: list[int] = []

    def count(tensor: torch.Tensor) -> torch.Tensor:
        sizes.append(tensor.nbytes)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        network.train()(windows)
    return sum(sizes)
