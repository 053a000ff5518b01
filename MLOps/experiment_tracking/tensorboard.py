"""A stage's metrics for TensorBoard, beside those for MLflow: `tensorboard --logdir .cache/tensorboard`."""

from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(".cache/tensorboard")


class Board:
    """The event file of one run of a stage."""

    def __init__(self, stage: str) -> None:
        # A second or more to import, for those who ask for it.
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(FOLDER / stage))

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()
