"""The predictor contract: forecasts from windows of raw features; fitting, saving and loading."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from scipy.special import softmax

from MLOps.predictors.learning import LearningData
from MLOps.predictors.windows import Windows

FORECAST_BATCH = 512

OnEpoch = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class Forecast:
    """Forecasts of n windows, float32: probabilities (n, classes), expected next-bar return (n,), uncertainty in [0, 1]
    (n,), and the windows' embedding (n, size), if the predictor has one."""

    probabilities: np.ndarray
    expected_return: np.ndarray
    uncertainty: np.ndarray
    embedding: np.ndarray | None = None

    @classmethod
    def from_probabilities(cls, probabilities: np.ndarray, class_returns: np.ndarray) -> "Forecast":
        """Forecast from float64 probabilities (n, classes) and each class's mean return in training, (classes,)."""
        return cls.rounded(probabilities, probabilities @ class_returns, relative_entropy(probabilities))

    @classmethod
    def rounded(
        cls,
        probabilities: np.ndarray,
        expected_return: np.ndarray,
        uncertainty: np.ndarray,
        embedding: np.ndarray | None = None,
    ) -> "Forecast":
        """Forecast from float64 parts, rounded to float32.

        Everything is computed in float64 and rounded once: rounding removes the last bits, which vary with batch shape
        and processor, so a forecast of a single window equals the one made in a batch.
        """
        return cls(
            probabilities.astype(np.float32),
            expected_return.astype(np.float32),
            uncertainty.astype(np.float32),
            None if embedding is None else embedding.astype(np.float32),
        )


def relative_entropy(probabilities: np.ndarray) -> np.ndarray:
    """Entropy of each row of (…, classes) divided by its maximum, ln(classes)."""
    entropy = -np.sum(probabilities * np.log(np.maximum(probabilities, 1e-300)), axis=-1)
    return entropy / np.log(probabilities.shape[-1])


def class_probabilities(scores: np.ndarray) -> np.ndarray:
    """Probabilities (n, classes) from the scores (n, classes) of a linear model or of boosted trees.

    For two classes scikit-learn fits a single score, the log odds of the second class: (n, 1) gives (n, 2).
    """
    if scores.shape[1] == 1:
        scores = np.concatenate([np.zeros_like(scores), scores], axis=1)
    return softmax(scores, axis=1)


class Predictor(Protocol):
    """The contract of all predictors.

    `fit` makes all choices (epochs, rounds): it trains on the fitting rows and measures on the selection rows. `refit`
    trains a new model on other rows with the same choices: the model of the whole training span, and the out-of-fold
    models. Long trainings save their progress in `checkpoints`; called again with the same arguments after a kill, they
    end with the same bytes.

    Attributes:
        is_quick: whether a training usually takes less time than starting a process for it.
    """

    is_quick: ClassVar[bool]

    @property
    def lookback_bars(self) -> int: ...

    @classmethod
    def fit(cls, config: Any, data: LearningData, seed: int, on_epoch: OnEpoch, checkpoints: Path) -> Self: ...

    def refit(self, data: LearningData, rows: np.ndarray, seed: int, checkpoints: Path) -> Self: ...

    def predict(self, windows: np.ndarray) -> Forecast:
        """Forecast from raw feature windows (n, lookback_bars, features) float32, oldest bar first."""
        ...

    def aligned(self, to: Self, windows: Windows, rows: np.ndarray) -> Self:
        """The same predictor with its embedding in the basis of `to`'s, by the windows that end at `rows` (n,)."""
        ...

    def explain(self, windows: Windows, rows: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        """Explain the forecasts of the windows that end at `rows` (n,), with labels `labels` (n,).

        Returns:
            Arrays by name, described in `MLOps.predictors.explain`; empty if there are no explanations.
        """
        ...

    def export(self, folder: Path, windows: np.ndarray) -> dict[str, float]:
        """Write the configured formats to `folder`, and compare each with `predict` on `windows`.

        Returns:
            The largest difference by format; empty if no format is configured.
        """
        ...

    def save(self, folder: Path) -> None: ...

    @classmethod
    def load(cls, folder: Path) -> Self: ...


def batches_of(rows: np.ndarray) -> list[np.ndarray]:
    """The rows in parts of at most FORECAST_BATCH."""
    return np.array_split(rows, max(1, -(-len(rows) // FORECAST_BATCH)))


def forecast(predictor: Predictor, windows: Windows, rows: np.ndarray) -> Forecast:
    """The predictor's forecast for the windows that end at `rows`; windows are copied one batch at a time."""
    parts = [predictor.predict(windows.ending_at(batch)) for batch in batches_of(rows)]
    embeddings = [part.embedding for part in parts if part.embedding is not None]
    return Forecast(
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate([part.expected_return for part in parts]),
        np.concatenate([part.uncertainty for part in parts]),
        np.concatenate(embeddings) if embeddings else None,
    )
