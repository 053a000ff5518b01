"""A stage's metrics and the graph of its network, for `tensorboard --logdir .cache/tensorboard`."""

import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = Path(".cache/tensorboard")


class Board:
    """The event file of one run of a stage, or of a part of it."""

    def __init__(self, stage: str) -> None:
        self._stage = stage

    @cached_property
    def _writer(self) -> "SummaryWriter":
        # Imported here because it takes a second or more and is optional.
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(FOLDER / self._stage))

    def __reduce__(self) -> tuple[Any, ...]:
        return Board, (self._stage,)  # another process writes a file of its own

    def below(self, part: str) -> "Board":
        """The event file of a part."""
        return Board(f"{self._stage}/{part}")

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def draw(self, network: Any, shape: Sequence[int]) -> None:
        """The graph of a PyTorch module for one input of this shape."""
        import torch

        first = next(network.parameters())
        with warnings.catch_warnings():
            # A trace holds for the traced shape only, which is all that a drawing needs.
            warnings.simplefilter("ignore")
            self._writer.add_graph(network, torch.zeros(1, *shape, dtype=first.dtype, device=first.device))

    def close(self) -> None:
        self._writer.close()
