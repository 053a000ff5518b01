"""The embedding of a window: principal components of a network's last hidden layer."""

from dataclasses import dataclass
from typing import Any

import numpy as np

LEAST_STD = 1e-9  # a component that varies less in training is rounding, and is left at 0


@dataclass(frozen=True)
class Embedding:
    """Whitened principal components: `center` (width,), and `components` (width, size) divided by their standard
    deviations; float64, fitted on training rows."""

    center: np.ndarray
    components: np.ndarray

    @classmethod
    def fit(cls, hidden: np.ndarray, size: int) -> "Embedding":
        """Fit `size` components to the last hidden layer (n, width) of training rows, size <= width."""
        center = hidden.mean(axis=0)
        variances, vectors = np.linalg.eigh((hidden - center).T @ (hidden - center) / len(hidden))
        # `eigh` sorts ascending, and leaves the signs open: the largest entry of each component is made positive.
        vectors, stds = vectors[:, ::-1][:, :size], np.sqrt(np.maximum(variances[::-1][:size], 0))
        signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(size)])
        return cls(center, vectors * signs / np.where(stds > LEAST_STD, stds, np.inf))

    def of(self, hidden: np.ndarray) -> np.ndarray:
        """The embeddings (n, size) of (n, width), float64."""
        embedding: np.ndarray = (hidden - self.center) @ self.components
        return embedding

    def to_dict(self) -> dict[str, Any]:
        return {"center": self.center.tolist(), "components": self.components.tolist()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Embedding":
        return cls(np.asarray(values["center"]), np.asarray(values["components"]))


def rotation(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The orthogonal (size, size) that brings `own` nearest to `other`, the embeddings (n, size) of the same windows by
    another network: orthogonal Procrustes (Schönemann, 1966)."""
    left, _, right = np.linalg.svd(own.astype(np.float64).T @ other.astype(np.float64))
    return left @ right
