"""Means of time series under the stationary block bootstrap (Politis & Romano, 1994): intervals and comparisons."""

import math

import numpy as np
from arch.bootstrap import StationaryBootstrap, optimal_block_length

from MLOps.statistics.dependent_mean import standard_error
from MLOps.statistics.returns import NO_VARIATION
from MLOps.statistics.series import checked

LEAST_BARS = 16  # from which on autocorrelations are estimated


def mean_interval(
    series: np.ndarray, confidence: float, samples: int, block_bars: int | None, seed: int
) -> tuple[float, float, float]:
    """Mean of a series (n,) in order of time, with its two-sided studentised interval.

    Blocks of geometric length, `block_bars` on average, preserve serial dependence. Each resample's error is divided by
    the resample's own standard error (`dependent_mean.standard_error`): the percentile interval covers too rarely,
    because resamples vary less than autocorrelated data. A series that never varies has an interval of no width;
    resamples that do not vary are left out.

    Args:
        block_bars: None chooses it from the series (`stationary_block_bars`).

    Returns:
        Mean, lower and upper bound.

    Raises:
        ValueError: fewer than four values, or one that is not finite.
    """
    series = checked(series, least_bars=4)
    mean = float(series.mean())
    if series.std() <= NO_VARIATION:
        return mean, mean, mean
    block_bars = stationary_block_bars(series) if block_bars is None else block_bars
    bootstrap = StationaryBootstrap(block_bars, series, seed=np.random.default_rng(seed))
    errors = bootstrap.apply(lambda resampled: np.array([resampled.mean() - mean, standard_error(resampled)]), samples)
    errors = errors[errors[:, 1] > NO_VARIATION]
    tail = (1 - confidence) / 2
    low, high = np.quantile(errors[:, 0] / errors[:, 1], [tail, 1 - tail])
    own_error = standard_error(series)
    return mean, mean - float(high) * own_error, mean - float(low) * own_error


def shares_of_highest_mean(series: np.ndarray, samples: int, block_bars: int | None, seed: int) -> np.ndarray:
    """(n,): of n series (bars, n), resampled together, how often each has the highest mean; ties are shared.

    Args:
        block_bars: None chooses it from the series (`stationary_block_bars`).
    """
    block_bars = stationary_block_bars(series) if block_bars is None else block_bars
    bootstrap = StationaryBootstrap(block_bars, series, seed=np.random.default_rng(seed))
    means = bootstrap.apply(lambda resampled: resampled.mean(axis=0), samples)
    highest = means == means.max(axis=1, keepdims=True)
    return np.asarray((highest / highest.sum(axis=1, keepdims=True)).mean(axis=0))


def stationary_block_bars(series: np.ndarray) -> int:
    """Mean block length for the stationary bootstrap of the mean of (bars,), or of the means of (bars, n).

    Politis & White (2004), corrected by Patton, Politis & White (2009), rounded up; the mean over several series. With
    fewer than 16 bars, n^(1/3), the rate of the rule; 1 for series that never vary.
    """
    return _block_bars(series, "stationary")


def circular_block_bars(series: np.ndarray) -> int:
    """Block length for the circular block bootstrap; see `stationary_block_bars`."""
    return _block_bars(series, "circular")


def block_sums(series: np.ndarray, block_bars: int) -> np.ndarray:
    """Sums (n,) over the `block_bars` values from each value of a series (n,) on; the first follows the last."""
    totals = np.cumsum(np.concatenate([[0.0], series, series[: block_bars - 1]]))
    return totals[block_bars:] - totals[:-block_bars]


def _block_bars(series: np.ndarray, bootstrap: str) -> int:
    if len(series) < LEAST_BARS:
        return math.ceil(len(series) ** (1 / 3))
    columns = series.reshape(len(series), -1)
    columns = columns[:, columns.std(axis=0) > NO_VARIATION]
    if columns.shape[1] == 0:
        return 1
    return max(1, math.ceil(optimal_block_length(columns)[bootstrap].mean()))
