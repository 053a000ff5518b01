"""Rolling statistics computed at bar t from bars t-window+1 … t alone, in a fixed order of additions.

Running sums, as in pandas and TA-Lib, are faster but carry the rounding error of every earlier bar: a value served from
100 bars would differ in its last bits from the value computed offline from 3 000.
"""

import numpy as np
from numba import njit

from MLOps.compiled import CACHE


@njit(cache=CACHE, nogil=True)
def rolling_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Mean of the last `window` values; NaN before there are that many."""
    result = np.full(len(values), np.nan)
    for t in range(window - 1, len(values)):
        total = 0.0
        for i in range(t - window + 1, t + 1):
            total += values[i]
        result[t] = total / window
    return result


@njit(cache=CACHE, nogil=True)
def rolling_std(values: np.ndarray, window: int) -> np.ndarray:
    """Sample standard deviation (n - 1) of the last `window` values, in two passes."""
    result = np.full(len(values), np.nan)
    for t in range(window - 1, len(values)):
        mean = 0.0
        for i in range(t - window + 1, t + 1):
            mean += values[i]
        mean /= window
        total = 0.0
        for i in range(t - window + 1, t + 1):
            total += (values[i] - mean) ** 2
        result[t] = np.sqrt(total / (window - 1))
    return result


@njit(cache=CACHE, nogil=True)
def rolling_correlation(x: np.ndarray, y: np.ndarray, window: int) -> np.ndarray:
    """Pearson correlation of the last `window` pairs, in two passes; NaN if one side is constant."""
    result = np.full(len(x), np.nan)
    for t in range(window - 1, len(x)):
        mean_x, mean_y = 0.0, 0.0
        for i in range(t - window + 1, t + 1):
            mean_x += x[i]
            mean_y += y[i]
        mean_x /= window
        mean_y /= window
        xx, yy, xy = 0.0, 0.0, 0.0
        for i in range(t - window + 1, t + 1):
            xx += (x[i] - mean_x) ** 2
            yy += (y[i] - mean_y) ** 2
            xy += (x[i] - mean_x) * (y[i] - mean_y)
        if xx > 0.0 and yy > 0.0:
            result[t] = xy / np.sqrt(xx * yy)
    return result


def lagged_log_return(values: np.ndarray, lag: int) -> np.ndarray:
    """Natural log of values[t] / values[t - lag]; NaN for the first `lag`."""
    result = np.full(len(values), np.nan)
    if len(values) > lag:
        result[lag:] = np.log(values[lag:] / values[:-lag])
    return result


@njit(cache=CACHE, nogil=True)
def rolling_max(values: np.ndarray, window: int) -> np.ndarray:
    """Largest of the last `window` values; NaN if one of them is NaN."""
    result = np.full(len(values), np.nan)
    for t in range(window - 1, len(values)):
        largest = values[t - window + 1]
        for i in range(t - window + 2, t + 1):
            if values[i] > largest or np.isnan(values[i]):
                largest = values[i]
        result[t] = largest
    return result


@njit(cache=CACHE, nogil=True)
def wilder_sum(values: np.ndarray, window: int, period: int, summed: int) -> np.ndarray:
    """Wilder's smoothed sum, restarted on each window of `window` values.

    S is the sum of the window's first `summed` values, then S (1 - 1 / period) + x for each further value: Wilder
    (1978). A block of windows advances together, because a single recursion cannot be vectorised.
    """
    count = max(len(values) - window + 1, 0)
    result = np.full(len(values), np.nan)
    # Written in place: Numba takes seconds to compile the assignment of an array to a slice.
    sums = result[len(values) - count :]
    for t in range(count):
        sums[t] = 0.0
    block = 512
    for first in range(0, count, block):
        of_block = sums[first : first + block]
        for i in range(window):
            kept = 1.0 if i < summed else 1.0 - 1.0 / period
            # Slices that start at 0 let the compiler vectorise the loop.
            added = values[first + i : first + i + len(of_block)]
            for t in range(len(of_block)):
                of_block[t] = of_block[t] * kept + added[t]
    return result


def every_window(values: np.ndarray, window: int) -> np.ndarray:
    """Copies of the windows of `window` values that end at each value, (len(values), window), oldest first.

    Windows that would begin before the first value are NaN.
    """
    result = np.full((len(values), window), np.nan)
    if len(values) >= window:
        result[window - 1 :] = np.lib.stride_tricks.sliding_window_view(values, window)
    return result
