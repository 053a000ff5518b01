"""Conversion of a network's training state to and from the arrays and metadata of a checkpoint."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from MLOps.predictors.schedule import History
from MLOps.training.checkpoints import Checkpoints


@dataclass(frozen=True)
class EpochState:
    """Finished epochs, and the position within the current one: finished batches, and sums over them."""

    history: History
    batch: int
    loss_sum: float
    norm_sum: float


def save_state(
    checkpoints: Checkpoints,
    weights: dict[str, np.ndarray],
    best: dict[str, np.ndarray],
    optimiser: torch.optim.Optimizer,
    state: EpochState,
) -> None:
    """Write one checkpoint; `best` are the weights of the best epoch so far."""
    arrays = {f"network.{name}": array for name, array in weights.items()}
    arrays |= {f"best.{name}": array for name, array in best.items()}
    for number, moments in optimiser.state_dict()["state"].items():
        arrays |= {f"optimiser.{number}.{name}": tensor.cpu().numpy() for name, tensor in moments.items()}
    checkpoints.save(len(state.history) * 10**6 + state.batch, arrays, asdict(state))


def load_state(
    arrays: dict[str, np.ndarray], metadata: dict[str, Any], network: nn.Module, optimiser: torch.optim.Optimizer
) -> tuple[dict[str, np.ndarray], EpochState]:
    """Load a checkpoint's arrays and metadata into `network` and `optimiser`.

    Returns:
        The weights of the best epoch and the position.
    """
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    network.load_state_dict(_under("network.", tensors))
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in _under("optimiser.", tensors).items():
        number, _, moment = name.partition(".")
        moments.setdefault(int(number), {})[moment] = tensor
    optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
    return _under("best.", arrays), EpochState(**metadata)


def _under(prefix: str, values: dict) -> dict:
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
