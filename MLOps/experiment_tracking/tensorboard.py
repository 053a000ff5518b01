"""A stage's metrics for TensorBoard, in addition to MLflow: `tensorboard --logdir .cache/tensorboard`."""

from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(".cache/tensorboard")


class Board:
    """The event file of one run of a stage, or of a part of it."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        # Imported here because it takes a second or more and is optional.
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(FOLDER / stage))

    def below(self, part: str) -> "Board":
        """The event file of a part."""
        return Board(f"{self._stage}/{part}")

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()
