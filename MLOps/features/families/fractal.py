"""Roughness and long memory of the path in a window that ends at the bar."""

import numpy as np
from numba import njit

from MLOps.compiled import CACHE
from MLOps.features.feature import Feature, SymbolBars


@njit(cache=CACHE, nogil=True)
def hurst_exponent(values: np.ndarray, window: int) -> np.ndarray:
    """Slope of log(R/S) over log(n) for the last `window` values cut in n = 8, 16, … window/2.

    R/S: range of the summed deviations from a piece's mean, over its standard deviation; mean over the pieces. Constant
    pieces do not count. Hurst (1951), Mandelbrot & Wallis (1969). `window` is a power of two, 32 or more.
    """
    result = np.full(len(values), np.nan)
    for t in range(window - 1, len(values)):
        first = t - window + 1
        points, sum_x, sum_y, sum_xx, sum_xy = 0, 0.0, 0.0, 0.0, 0.0
        whole = True
        for i in range(first, t + 1):
            whole &= np.isfinite(values[i])
        if not whole:
            continue
        size = 8
        while size <= window // 2:
            total, pieces = 0.0, 0
            for start in range(first, t + 1, size):
                mean = 0.0
                for i in range(start, start + size):
                    mean += values[i]
                mean /= size
                squares, path, highest, lowest = 0.0, 0.0, 0.0, 0.0
                for i in range(start, start + size):
                    deviation = values[i] - mean
                    squares += deviation * deviation
                    path += deviation
                    highest = max(highest, path)
                    lowest = min(lowest, path)
                if squares > 0.0:
                    total += (highest - lowest) / np.sqrt(squares / size)
                    pieces += 1
            if pieces > 0 and total > 0.0:
                x, y = np.log(size), np.log(total / pieces)
                points += 1
                sum_x += x
                sum_y += y
                sum_xx += x * x
                sum_xy += x * y
            size *= 2
        # A constant path gets 0.5, the value of a random walk.
        result[t] = 0.5
        if points > 1:
            result[t] = (points * sum_xy - sum_x * sum_y) / (points * sum_xx - sum_x * sum_x)
    return result


@njit(cache=CACHE, nogil=True)
def higuchi_dimension(values: np.ndarray, window: int, k_max: int) -> np.ndarray:
    """Slope of log(length) over log(1/k), the length taken in steps of k = 1 … k_max: Higuchi (1988); 1 … 2."""
    result = np.full(len(values), np.nan)
    for t in range(window - 1, len(values)):
        first = t - window + 1
        points, sum_x, sum_y, sum_xx, sum_xy = 0, 0.0, 0.0, 0.0, 0.0
        for k in range(1, k_max + 1):
            total = 0.0
            for start in range(k):
                steps = (window - 1 - start) // k
                length = 0.0
                for i in range(1, steps + 1):
                    length += abs(values[first + start + i * k] - values[first + start + (i - 1) * k])
                total += length * (window - 1) / (steps * k) / k
            if np.isnan(total):
                break
            if total > 0.0:
                x, y = -np.log(k), np.log(total / k)
                points += 1
                sum_x += x
                sum_y += y
                sum_xx += x * x
                sum_xy += x * y
        else:
            # A constant path is a straight line, which has dimension 1.
            result[t] = 1.0
            if points > 1:
                result[t] = (points * sum_xy - sum_x * sum_y) / (points * sum_xx - sum_x * sum_x)
    return result


@njit(cache=CACHE, nogil=True)
def katz_dimension(values: np.ndarray, window: int) -> np.ndarray:
    """log(n) / (log(n) + log(d / L)) over n steps of total length L, d the farthest from the start: Katz (1988)."""
    result = np.full(len(values), np.nan)
    steps = window - 1
    for t in range(window - 1, len(values)):
        first = t - window + 1
        length, farthest = 0.0, 0.0
        for i in range(first + 1, t + 1):
            length += abs(values[i] - values[i - 1])
            farthest = max(farthest, abs(values[i] - values[first]))
        if np.isnan(length):
            continue
        result[t] = np.log(steps) / (np.log(steps) + np.log(farthest / length)) if farthest > 0.0 else 1.0
    return result


@njit(cache=CACHE, nogil=True)
def variance_ratio(values: np.ndarray, window: int, lag: int) -> np.ndarray:
    """Variance of sums of `lag` of the last `window` values over `lag` times that of one: Lo & MacKinlay (1988)."""
    result = np.full(len(values), np.nan)
    for t in range(window - 1, len(values)):
        first = t - window + 1
        mean = 0.0
        for i in range(first, t + 1):
            mean += values[i]
        mean /= window
        single, summed = 0.0, 0.0
        for i in range(first, t + 1):
            single += (values[i] - mean) ** 2
        for i in range(first + lag - 1, t + 1):
            total = 0.0
            for j in range(i - lag + 1, i + 1):
                total += values[j] - mean
            summed += total * total
        if np.isnan(single):
            continue
        result[t] = (summed / (window - lag + 1)) / (lag * single / window) if single > 0.0 else 1.0
    return result


@njit(cache=CACHE, nogil=True)
def efficiency_ratio(values: np.ndarray, window: int) -> np.ndarray:
    """Net change / path length over the last `window` values, in [0, 1]: Kaufman (1995); 0 for a constant path."""
    result = np.full(len(values), np.nan)
    for t in range(window - 1, len(values)):
        first = t - window + 1
        gone = 0.0
        for i in range(first + 1, t + 1):
            gone += abs(values[i] - values[i - 1])
        if np.isnan(gone):
            continue
        result[t] = abs(values[t] - values[first]) / gone if gone > 0.0 else 0.0
    return result


def _log_close(b: SymbolBars) -> np.ndarray:
    """Log of the close; only its differences matter."""
    return b.once("log close", lambda: (np.log(b.close),))[0]


FEATURES: dict[str, Feature] = {
    "hurst_64": Feature(
        65,
        lambda b: hurst_exponent(b.log_return, 64),
        "Hurst exponent of 64 log returns by rescaled range, Hurst (1951)",
    ),
    "hurst_128": Feature(
        129,
        lambda b: hurst_exponent(b.log_return, 128),
        "Hurst exponent of 128 log returns by rescaled range, Hurst (1951)",
    ),
    "higuchi_64": Feature(
        64,
        lambda b: higuchi_dimension(_log_close(b), 64, 8),
        "fractal dimension of 64 log closes, steps to 8, Higuchi (1988)",
    ),
    "katz_30": Feature(
        30, lambda b: katz_dimension(_log_close(b), 30), "fractal dimension of 30 log closes, Katz (1988)"
    ),
    "variance_ratio_5_60": Feature(
        61,
        lambda b: variance_ratio(b.log_return, 60, 5),
        "variance of 5-bar / 5 × of 1-bar returns, Lo & MacKinlay (1988)",
    ),
    "efficiency_20": Feature(
        20,
        lambda b: efficiency_ratio(_log_close(b), 20),
        "abs(net change) / path length of 20 log closes, Kaufman (1995)",
    ),
}
