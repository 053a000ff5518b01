"""What every predictor is: windows of raw features in, a forecast out; fitted, saved and loaded in one way."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from scipy.special import softmax

from MLOps.predictors.learning import LearningData
from MLOps.predictors.windows import Windows

FORECAST_BATCH = 512

OnEpoch = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class Forecast:
    """Of n windows: probabilities (n, classes), expected next-bar return (n,), uncertainty in [0, 1] (n,); float32."""

    probabilities: np.ndarray
    expected_return: np.ndarray
    uncertainty: np.ndarray

    @classmethod
    def from_probabilities(cls, probabilities: np.ndarray, class_returns: np.ndarray) -> "Forecast":
        """From float64 probabilities (n, classes) and each class's mean return in training."""
        return cls.rounded(probabilities, probabilities @ class_returns, relative_entropy(probabilities))

    @classmethod
    def rounded(cls, probabilities: np.ndarray, expected_return: np.ndarray, uncertainty: np.ndarray) -> "Forecast":
        """From float64 parts.

        All is computed in float64 and rounded once: the last bits of a float64, which vary with batch shape and
        processor, do not survive the rounding, so a forecast served alone equals the one made in a batch.
        """
        return cls(probabilities.astype(np.float32), expected_return.astype(np.float32), uncertainty.astype(np.float32))


def relative_entropy(probabilities: np.ndarray) -> np.ndarray:
    """Entropy of each row of (…, classes) as a share of its largest value, ln(classes)."""
    entropy = -np.sum(probabilities * np.log(np.maximum(probabilities, 1e-300)), axis=-1)
    return entropy / np.log(probabilities.shape[-1])


def class_probabilities(scores: np.ndarray) -> np.ndarray:
    """Probabilities (n, classes) from a linear model's or boosted trees' scores, (n, classes).

    For two classes scikit-learn fits one score, the log odds of the second class: (n, 1) gives (n, 2).
    """
    if scores.shape[1] == 1:
        scores = np.concatenate([np.zeros_like(scores), scores], axis=1)
    return softmax(scores, axis=1)


class Predictor(Protocol):
    """The contract of all predictors.

    `fit` makes every choice (epochs, rounds): it learns from the fitting rows and measures on the selection rows.
    `refit` learns afresh from other rows with the choices already made: the model of the whole training span, and the
    out-of-fold models. What takes long keeps its progress in `checkpoints`; called again with the same arguments after
    a kill, it ends in the same bytes.
    """

    @property
    def lookback_bars(self) -> int: ...

    @classmethod
    def fit(cls, config: Any, data: LearningData, seed: int, on_epoch: OnEpoch, checkpoints: Path) -> Self: ...

    def refit(self, data: LearningData, rows: np.ndarray, seed: int, checkpoints: Path) -> Self: ...

    def predict(self, windows: np.ndarray) -> Forecast:
        """Forecast from raw feature windows (n, lookback_bars, features) float32, oldest bar first."""
        ...

    def explain(self, windows: Windows, rows: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        """What the forecasts of the windows that end at `rows` (n,), labelled `labels` (n,), rest on.

        Returns:
            Arrays by name, as `MLOps.predictors.explain` describes them; empty when nothing is explained.
        """
        ...

    def export(self, folder: Path, windows: np.ndarray) -> dict[str, float]:
        """Write the formats that the configuration asks for to `folder`, each compared with `predict` on `windows`.

        Returns:
            The largest difference by format; empty when none is asked for.
        """
        ...

    def save(self, folder: Path) -> None: ...

    @classmethod
    def load(cls, folder: Path) -> Self: ...


def forecast(predictor: Predictor, windows: Windows, rows: np.ndarray) -> Forecast:
    """The predictor's forecast for the windows that end at `rows`; only a batch of them is ever copied."""
    batches = np.array_split(rows, max(1, -(-len(rows) // FORECAST_BATCH)))
    parts = [predictor.predict(windows.ending_at(batch)) for batch in batches]
    return Forecast(
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate([part.expected_return for part in parts]),
        np.concatenate([part.uncertainty for part in parts]),
    )
