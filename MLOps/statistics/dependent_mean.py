"""Confidence interval for the mean of a series whose values overlap, by the equal-weighted cosine test.

Lazarus, Lewis, Stock & Watson (2018), "HAR Inference: Recommendations for Practice", Journal of Business & Economic
Statistics 36(4). The variance of the mean is estimated from the lowest-frequency cosine terms of the series. A series
whose values overlap over h bars has about equal power in all terms with periods much longer than h, and less in shorter
ones.
"""

import math

import numpy as np
from scipy.fft import dct
from scipy.stats import t as student_t

MIN_TERMS = 4  # with fewer, Student's quantile makes the interval too wide to be useful
OVERLAPS_PER_TERM = 3  # the shortest cosine then spans six overlaps, and the variance is about 3 % too small
TERMS_SCALE, TERMS_POWER = 0.4, 2 / 3  # largest number of terms for n bars, 0.4 n^(2/3): the paper's rule


def required_bars(overlap_bars: int) -> int:
    """Least number of bars for an interval when values overlap over `overlap_bars` bars (1: no overlap)."""
    for_the_rule = math.ceil((MIN_TERMS / TERMS_SCALE) ** (1 / TERMS_POWER))
    return max(for_the_rule, MIN_TERMS * OVERLAPS_PER_TERM * overlap_bars)


def interval(series: np.ndarray, confidence: float, overlap_bars: int) -> tuple[float, float] | None:
    """Two-sided interval for the mean of a series (n,) in order of time; None with fewer than `required_bars`.

    mean ± t · sqrt(W / n), where W is the mean square of the first v coefficients of the orthonormal cosine transform
    (DCT-II) after the constant, and t the quantile of Student's distribution with v degrees of freedom.

    Args:
        overlap_bars: values at least this many bars apart are independent, like labels with that horizon.
    """
    bars = len(series)
    if bars < required_bars(overlap_bars):
        return None
    half = float(student_t.ppf((1 + confidence) / 2, _terms(bars, overlap_bars))) * standard_error(series, overlap_bars)
    return float(series.mean()) - half, float(series.mean()) + half


def standard_error(series: np.ndarray, overlap_bars: int = 1) -> float:
    """Standard error sqrt(W / n) of the mean of a series (n,) in order of time, n at least 2; see `interval`."""
    terms = _terms(len(series), overlap_bars)
    coefficients = dct(series - series.mean(), type=2, norm="ortho")[1 : terms + 1]
    return float(np.sqrt(np.mean(coefficients**2) / len(series)))


def _terms(bars: int, overlap_bars: int) -> int:
    return max(1, int(min(TERMS_SCALE * bars**TERMS_POWER, bars / (OVERLAPS_PER_TERM * overlap_bars))))
