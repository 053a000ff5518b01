"""Imputer and standard scaler in one: fitted on training rows, saved as data."""

from dataclasses import dataclass
from typing import Any

import numpy as np

CLIP = 8.0  # standard deviations; larger values are outliers
# Of a table that may not fit into memory in float64. NumPy adds a single column in another order than one of several.
COLUMNS_AT_ONCE = 8


@dataclass(frozen=True)
class Scaler:
    """Per feature the median (replaces missing values), mean and standard deviation; all (features,).

    Stored in float32, the type of the features, so that saving does not change them.
    """

    median: np.ndarray
    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray) -> "Scaler":
        """Fit to the training rows, (rows, features) float32; NaN and infinity count as missing."""
        columns = values.shape[1]
        parts = np.array_split(np.arange(columns), -(-columns // COLUMNS_AT_ONCE))
        median, mean, std = np.concatenate([_moments(values[:, part[0] : part[-1] + 1]) for part in parts], axis=1)
        return cls(
            median=median.astype(np.float32),
            mean=mean.astype(np.float32),
            # A feature that is constant in training is divided by 1, which leaves it at 0.
            std=np.where(std > 1e-12, std, 1.0).astype(np.float32),
        )

    def transform(self, values: np.ndarray) -> np.ndarray:
        """Impute, centre, scale and clip (…, features) float32."""
        whole = np.where(np.isfinite(values), values, self.median)
        return np.clip((whole - self.mean) / self.std, -CLIP, CLIP)

    def to_dict(self) -> dict[str, list[float]]:
        return {name: getattr(self, name).tolist() for name in ("median", "mean", "std")}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Scaler":
        return cls(**{name: np.asarray(values[name], dtype=np.float32) for name in ("median", "mean", "std")})


def _moments(values: np.ndarray) -> np.ndarray:
    """Median, mean and standard deviation of each column's finite values, (3, columns) float64."""
    known = np.where(np.isfinite(values), values, np.nan).astype(np.float64)
    return np.stack([np.nanmedian(known, axis=0), np.nanmean(known, axis=0), np.nanstd(known, axis=0)])
