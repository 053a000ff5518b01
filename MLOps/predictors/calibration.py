"""Class probabilities for a predictor that foretells returns alone."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax


@dataclass(frozen=True)
class ReturnClasses:
    """Linear discriminant analysis in one dimension (Fisher, 1936): how expected returns are spread in each class.

    `shares` and `means` are (classes,), `variance` the one within classes; learnt on the rows that the predictor
    itself learnt from, so as trustworthy as it is.
    """

    shares: np.ndarray
    means: np.ndarray
    variance: float

    @classmethod
    def fit(cls, expected: np.ndarray, labels: np.ndarray, n_classes: int) -> "ReturnClasses":
        """From expected returns (n,) and labels (n,), among which each class must occur."""
        counts = np.bincount(labels, minlength=n_classes)
        means = np.bincount(labels, expected, n_classes) / counts
        return cls(counts / counts.sum(), means, float(np.mean((expected - means[labels]) ** 2)))

    def probabilities(self, expected: np.ndarray) -> np.ndarray:
        """Probabilities (n, classes) given expected returns (n,); the shares where expected returns never varied."""
        distance = (expected[:, None] - self.means) ** 2 / (2 * self.variance) if self.variance > 0 else 0.0
        return softmax(np.log(self.shares) - distance + np.zeros((len(expected), 1)), axis=1)

    def to_dict(self) -> dict[str, Any]:
        return {"shares": self.shares.tolist(), "means": self.means.tolist(), "variance": self.variance}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ReturnClasses":
        return cls(np.asarray(values["shares"]), np.asarray(values["means"]), values["variance"])
