"""Confidence intervals for the mean of a time series, by the stationary block bootstrap (Politis & Romano, 1994)."""

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
