"""Means of time series under the stationary block bootstrap (Politis & Romano, 1994): intervals and comparisons."""

import numpy as np
from arch.bootstrap import StationaryBootstrap


def mean_interval(
    series: np.ndarray, confidence: float, samples: int, block_bars: int, seed: int
) -> tuple[float, float, float]:
    """Mean of a series (n,) in order of time, with its two-sided percentile interval.

    Blocks of geometric length, `block_bars` on average, preserve serial dependence.

    Returns:
        Mean, lower and upper bound.
    """
    bootstrap = StationaryBootstrap(block_bars, series, seed=np.random.default_rng(seed))
    interval = bootstrap.conf_int(np.mean, samples, method="percentile", size=confidence)
    return float(series.mean()), float(interval[0, 0]), float(interval[1, 0])


def shares_of_highest_mean(series: np.ndarray, samples: int, block_bars: int, seed: int) -> np.ndarray:
    """(n,): of n series (bars, n), resampled together, how often each has the highest mean; ties are shared."""
    bootstrap = StationaryBootstrap(block_bars, series, seed=np.random.default_rng(seed))
    means = bootstrap.apply(lambda resampled: resampled.mean(axis=0), samples)
    highest = means == means.max(axis=1, keepdims=True)
    return np.asarray((highest / highest.sum(axis=1, keepdims=True)).mean(axis=0))
