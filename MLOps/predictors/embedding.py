"""The embedding of a window: principal components of a network's last hidden layer."""

from dataclasses import dataclass
from typing import Any

import numpy as np

LEAST_SHARE = 1e-4  # components that vary less than this share of the first one are rounding, and are left at 0


@dataclass(frozen=True)
class Embedding:
    """A linear map of the last hidden layer to `size` columns, which have mean 0 and variance 1 in training.

    `center` is (width,), `weights` (width, size), both float64.
    """

    center: np.ndarray
    weights: np.ndarray

    @classmethod
    def fit(cls, hidden: np.ndarray, size: int) -> "Embedding":
        """Whitened principal components of the last hidden layer (n, width) of training rows, size <= width."""
        center = hidden.mean(axis=0)
        variances, vectors = np.linalg.eigh((hidden - center).T @ (hidden - center) / len(hidden))
        # `eigh` sorts ascending and leaves the signs open; the largest entry of each component is made positive.
        stds, vectors = np.sqrt(np.maximum(variances[::-1], 0)), vectors[:, ::-1][:, :size]
        signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(size)])
        divisors = np.where(stds > LEAST_SHARE * stds[0], stds, np.inf)[:size]
        return cls(center, vectors * signs / divisors)

    @classmethod
    def nearest(cls, hidden: np.ndarray, wanted: np.ndarray) -> "Embedding":
        """The embedding that comes nearest to `wanted` (n, size), another network's embeddings of the same windows.

        Of all embeddings with uncorrelated columns of variance 1 it is the one with the least squared distance
        (orthogonal Procrustes; Schönemann, 1966).
        """
        whole = cls.fit(hidden, hidden.shape[1])
        left, _, right = np.linalg.svd(whole.of(hidden).T @ wanted, full_matrices=False)
        return cls(whole.center, whole.weights @ (left @ right))

    def of(self, hidden: np.ndarray) -> np.ndarray:
        """The embeddings (n, size) of (n, width), float64."""
        embedding: np.ndarray = (hidden - self.center) @ self.weights
        return embedding

    def to_dict(self) -> dict[str, Any]:
        return {"center": self.center.tolist(), "weights": self.weights.tolist()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Embedding":
        return cls(np.asarray(values["center"]), np.asarray(values["weights"]))
