"""Class probabilities for predictors that forecast returns only."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax


@dataclass(frozen=True)
class ReturnClasses:
    """Linear discriminant analysis in one dimension (Fisher, 1936): class probabilities given the expected return.

    `shares` (prior probabilities) and `means` are (classes,), `variance` is the common one within classes; all are
    fitted on the predictor's own training rows.
    """

    shares: np.ndarray
    means: np.ndarray
    variance: float

    @classmethod
    def fit(cls, expected: np.ndarray, labels: np.ndarray, n_classes: int) -> "ReturnClasses":
        """Fit to expected returns (n,) and labels (n,), in which each class must occur."""
        counts = np.bincount(labels, minlength=n_classes)
        means = np.bincount(labels, expected, n_classes) / counts
        return cls(counts / counts.sum(), means, float(np.mean((expected - means[labels]) ** 2)))

    def probabilities(self, expected: np.ndarray) -> np.ndarray:
        """Probabilities (n, classes) given expected returns (n,); `shares` if expected returns were constant."""
        distance = (expected[:, None] - self.means) ** 2 / (2 * self.variance) if self.variance > 0 else 0.0
        return softmax(np.log(self.shares) - distance + np.zeros((len(expected), 1)), axis=1)

    def to_dict(self) -> dict[str, Any]:
        return {"shares": self.shares.tolist(), "means": self.means.tolist(), "variance": self.variance}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ReturnClasses":
        return cls(np.asarray(values["shares"]), np.asarray(values["means"]), values["variance"])
