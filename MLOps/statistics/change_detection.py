"""A change of the level of autocorrelated series, with a false-alarm probability over a whole period of looks.

The statistic is the mean of each series over a moving window, in units of its own standard error. The largest over all
series and over all looks of a period is compared with one limit, from a moving-block bootstrap (Künsch, 1989) of all
series together: serial dependence, changing volatility and the dependence between the series are those of the
reference. The limit is the quantile of these maxima, or that of the Gumbel distribution with their mean and variance
(Gumbel, 1958) where this is larger: a bootstrap sees no extremes beyond those of the reference. As the standard errors
are estimated from about bars / window separate windows, the limit is widened from the normal distribution to Student's
with so many degrees of freedom.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student_t

LEAST_WINDOWS = 5  # of the reference, below which a standard error is no more than a guess
BLOCK_WINDOWS = 4  # length of a block in windows, so that few windows span two blocks
LEAST_BLOCKS = 8
LOOKS_PER_WINDOW = 8  # looks closer to each other differ too little to matter to a maximum
LEAST_LOOKS = 20
CHUNK = 8_000_000  # values held at once


@dataclass(frozen=True)
class Limit:
    """What the mean over a window is compared with.

    Attributes:
        errors: (n,) standard error of the mean of each series over a window.
        value: in these units; what exceeds it is a change.
        one_sided: only a fall is a change.
    """

    errors: NDArray[np.float64]
    value: float
    one_sided: bool

    def statistics(self, means: NDArray[np.float64]) -> NDArray[np.float64]:
        """(…, n): window means in standard errors."""
        return means / self.errors

    def sizes(self, statistics: NDArray[np.float64]) -> NDArray[np.float64]:
        """(…, n): how far each statistic lies on the side, or sides, that count; -inf where it is not known."""
        return np.nan_to_num(-statistics if self.one_sided else np.abs(statistics), nan=-np.inf)


def least_bars(window_bars: int) -> int:
    """Bars of a reference that `calibrate` needs."""
    return LEAST_WINDOWS * window_bars


def calibrate(
    deviations: NDArray[np.float64],
    window_bars: int,
    looks: int,
    probability: float,
    samples: int,
    seed: int,
    one_sided: bool = False,
) -> Limit:
    """The limit that a look of a period exceeds with `probability` while nothing changes.

    Args:
        deviations: (bars, n) series around their level, finite. The error of that level is to be in them: that of a
            stretch of bars from a level estimated without it.
        looks: bars of the period; each is a look.
        one_sided: only a fall counts.

    Raises:
        ValueError: fewer than `least_bars` bars.
    """
    bars, n = deviations.shape
    if bars < least_bars(window_bars):
        raise ValueError(f"expected at least {least_bars(window_bars)} bars, found {bars}")
    generator = np.random.default_rng(seed)
    length = window_bars + looks - 1
    block = max(window_bars, min(BLOCK_WINDOWS * window_bars, bars // LEAST_BLOCKS))
    stride = max(1, min(window_bars // LOOKS_PER_WINDOW, looks // LEAST_LOOKS))
    # Blocks lie on a circle, and the first of a path begins anywhere in its block.
    places = np.arange(length) + generator.integers(0, block, (samples, 1))
    starts = generator.integers(0, bars, (samples, length // block + 2))
    rows = (np.take_along_axis(starts, places // block, axis=1) + places % block) % bars
    squares, largest = np.zeros(n), []
    chunk = max(1, CHUNK // (length * n))
    for first in range(0, samples, chunk):
        means = _window_means(deviations[rows[first : first + chunk]], window_bars)[:, ::stride]
        squares += (means**2).mean(axis=1).sum(axis=0)
        largest.append((-means if one_sided else np.abs(means)).max(axis=1))
    errors = np.sqrt(squares / samples)
    errors = np.where(errors > 0, errors, np.inf)  # of a series that never varies
    maxima = (np.concatenate(largest) / errors).max(axis=1)
    scale = maxima.std() * np.sqrt(6) / np.pi
    gumbel = maxima.mean() - np.euler_gamma * scale - scale * np.log(-np.log1p(-probability))
    value = max(float(np.quantile(maxima, 1 - probability)), float(gumbel))
    widened = float(student_t.isf(norm.sf(value), bars / window_bars))
    return Limit(errors, widened, one_sided)


def window_means(series: NDArray[np.float64], window_bars: int) -> NDArray[np.float64]:
    """(bars - window + 1, n): means of (bars, n) over each window; of the known values if they are half of it or more,
    else NaN."""
    known = np.isfinite(series)
    counts = _window_means(known.astype(float)[None], window_bars)[0]
    sums = _window_means(np.where(known, series, 0.0)[None], window_bars)[0]
    return np.where(counts >= 0.5, sums / np.maximum(counts, 1e-9), np.nan)


def _window_means(series: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """(m, bars - window + 1, n) of (m, bars, n)."""
    totals = np.cumsum(series, axis=1)
    totals[:, window:] = totals[:, window:] - totals[:, :-window]
    return totals[:, window - 1 :] / window
