"""What every predictor is: windows of raw features in, a forecast out; fitted, saved and loaded in one way."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from MLOps.features.labels import CLASSES
from MLOps.predictors.windows import Windows

OnEpoch = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class Forecast:
    """Of n windows: probabilities (n, classes), expected next-bar return (n,), uncertainty in [0, 1] (n,); float32."""

    probabilities: np.ndarray
    expected_return: np.ndarray
    uncertainty: np.ndarray

    @classmethod
    def from_probabilities(cls, probabilities: np.ndarray, class_returns: np.ndarray) -> "Forecast":
        """From float64 probabilities (n, classes) and each class's mean return in training.

        Uncertainty is the entropy of the probabilities as a share of its largest value, ln(classes). All is computed
        in float64 and rounded once: the last bits of a float64, which vary with batch shape and processor, do not
        survive the rounding, so a forecast served alone equals the one made in a batch.
        """
        entropy = -np.sum(probabilities * np.log(np.maximum(probabilities, 1e-300)), axis=1)
        return cls(
            probabilities=probabilities.astype(np.float32),
            expected_return=(probabilities @ class_returns).astype(np.float32),
            uncertainty=(entropy / np.log(probabilities.shape[1])).astype(np.float32),
        )


@dataclass(frozen=True)
class Targets:
    """What the windows' rows lead to: class (n,) int, -1 where unknown, and next-bar return (n,)."""

    classes: np.ndarray
    returns: np.ndarray

    def class_returns(self, rows: np.ndarray) -> np.ndarray:
        """Mean return of each class over `rows`, (classes,); 0 for a class that does not occur."""
        return np.array([_mean(self.returns[rows][self.classes[rows] == c]) for c in range(len(CLASSES))])


class Predictor(Protocol):
    """The contract. `fit` makes every choice (on validation rows where there is one); `refit` repeats the recipe with
    those choices on other rows, as the out-of-fold models need."""

    @property
    def lookback_bars(self) -> int: ...

    @classmethod
    def fit(
        cls,
        config: Any,
        windows: Windows,
        targets: Targets,
        train_rows: np.ndarray,
        validation_rows: np.ndarray,
        seed: int,
        on_epoch: OnEpoch,
    ) -> Self: ...

    def refit(self, windows: Windows, targets: Targets, rows: np.ndarray, seed: int) -> Self: ...

    def predict(self, windows: np.ndarray) -> Forecast:
        """Forecast from raw feature windows (n, lookback_bars, features) float32, oldest bar first."""
        ...

    def save(self, folder: Path) -> None: ...

    @classmethod
    def load(cls, folder: Path) -> Self: ...


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0
