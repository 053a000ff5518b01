"""Scores of class and return forecasts with confidence intervals that allow for dependent bars.

The symbols of a bar are resampled together, and bars in blocks (stationary bootstrap; Politis & Romano, 1994). Every
score is a function of weighted rows, so that a resample is a set of weights and all resamples are scored at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from arch.bootstrap import StationaryBootstrap

from MLOps.statistics.dependent_mean import interval, required_bars
from MLOps.statistics.forecasts import CALIBRATION_BINS, log_losses
from MLOps.statistics.returns import NO_VARIATION

WEIGHTS_AT_ONCE = 100_000  # of float64: what is held of resamples × rows at one time fits a processor's cache
OVERLAPS_PER_BLOCK = 2  # a block holds whole overlaps, so that few of them are cut

# Bounds beyond which a score cannot lie.
RANGES = {"f1_macro": (0.0, 1.0), "calibration_error": (0.0, 1.0), "r2": (-np.inf, 1.0), "rank_ic": (-1.0, 1.0)}


@dataclass(frozen=True)
class Estimate:
    """A score and the bounds of its interval, which are None where the bars are too few for one."""

    value: float
    lower: float | None
    upper: float | None


@dataclass(frozen=True)
class Outcomes:
    """Forecasts of n rows beside what happened.

    Attributes:
        probabilities: (n, classes).
        classes: (n,) int, the true class.
        expected, actual: (n,) returns.
        bars: (n,) int, the bar of each row, counted from the span's first.
    """

    probabilities: np.ndarray
    classes: np.ndarray
    expected: np.ndarray
    actual: np.ndarray
    bars: np.ndarray

    def rows(self, chosen: np.ndarray) -> "Outcomes":
        """The rows that a mask (n,) chooses."""
        return Outcomes(
            self.probabilities[chosen],
            self.classes[chosen],
            self.expected[chosen],
            self.actual[chosen],
            self.bars[chosen],
        )


def block_length(bars: int, overlap_bars: int) -> int:
    """Mean length of the blocks: the cube root of the number of bars, and at least two overlaps."""
    return min(bars, max(OVERLAPS_PER_BLOCK * overlap_bars, int(np.ceil(bars ** (1 / 3)))))


def resampled_counts(bars: int, block_bars: int, samples: int, seed: int) -> np.ndarray:
    """(samples, bars): how often each resample of the stationary bootstrap holds each bar."""
    bootstrap = StationaryBootstrap(block_bars, np.arange(bars), seed=np.random.default_rng(seed))
    resamples = (np.bincount(given[0], minlength=bars) for given, _ in bootstrap.bootstrap(samples))
    return np.stack(list(resamples)).astype(np.uint16)


def scores(
    outcomes: Outcomes, counts: np.ndarray, confidence: float, overlap_bars: int, bars_per_year: int | None
) -> dict[str, Estimate]:
    """Accuracy, log loss, F1, calibration error, R², rank IC and the Sharpe ratio of the implied positions.

    Log loss and accuracy are averaged over the symbols of a bar first; their intervals are `dependent_mean.interval`.
    The other scores are over all rows, as in `forecasts`; their intervals are the basic bootstrap's (Davison & Hinkley,
    1997, section 5.2). That of the calibration error is not: the error of a calibrated forecast is 0, at the end of its
    range, and the estimate never. It is a norm of the gaps of the bins, so by the triangle inequality it is no further
    from the truth than the norm of the gaps' own errors, whose quantile the bootstrap gives; the interval may be wide.

    Args:
        counts: (samples, bars) of `resampled_counts`, over the whole span: of a part of the rows too.
        overlap_bars: how many bars the labels look ahead.
        bars_per_year: annualises the Sharpe ratio; None leaves it out.
    """
    hits = outcomes.probabilities.argmax(axis=1) == outcomes.classes
    estimates = {
        "log_loss": mean_estimate(
            log_losses(outcomes.probabilities, outcomes.classes), outcomes.bars, confidence, overlap_bars
        ),
        "accuracy": mean_estimate(hits.astype(float), outcomes.bars, confidence, overlap_bars),
    }
    seen = np.unique(outcomes.bars)
    found = weighted_scores(outcomes, np.ones((1, len(outcomes.bars))), bars_per_year)
    enough = len(seen) >= required_bars(overlap_bars)
    drawn: dict[str, np.ndarray] = {}
    if enough:
        gaps = _gaps(outcomes, np.ones((1, len(outcomes.bars))))
        parts = []
        for weights in _row_weights(outcomes.bars, counts):
            parts.append(weighted_scores(outcomes, weights, bars_per_year))
            parts[-1]["calibration_error"] = np.abs(_gaps(outcomes, weights) - gaps).sum(axis=1)
        drawn = {name: np.concatenate([part[name] for part in parts]) for name in found}
    tail = (1 - confidence) / 2
    for name, (value,) in found.items():
        lower = upper = None
        if enough:
            if name == "calibration_error":
                width = np.nanquantile(drawn[name], confidence)
                bounds = [value - width, value + width]
            else:
                low, high = np.nanquantile(drawn[name], [tail, 1 - tail])
                bounds = [2 * value - high, 2 * value - low]
            lower, upper = (float(bound) for bound in np.clip(bounds, *RANGES.get(name, (-np.inf, np.inf))))
        estimates[name] = Estimate(float(value), lower, upper)
    return estimates


def mean_estimate(values: np.ndarray, bars: np.ndarray, confidence: float, overlap_bars: int) -> Estimate:
    """Mean of values (n,) over the rows of a bar and then over bars, with its `dependent_mean.interval`."""
    _, place, rows = np.unique(bars, return_inverse=True, return_counts=True)
    series = np.bincount(place, values) / rows
    lower, upper = interval(series, confidence, overlap_bars) or (None, None)
    return Estimate(float(series.mean()), lower, upper)


def _row_weights(bars: np.ndarray, counts: np.ndarray) -> Iterator[np.ndarray]:
    """The weights (samples, n) of the rows of `bars` (n,), as many resamples at once as fit."""
    at_once = max(1, WEIGHTS_AT_ONCE // len(bars))
    for first in range(0, len(counts), at_once):
        yield counts[first : first + at_once, bars].astype(np.float64)


def weighted_scores(outcomes: Outcomes, weights: np.ndarray, bars_per_year: int | None) -> dict[str, np.ndarray]:
    """Scores, (samples,) each, of rows with weights (samples, n); NaN where no row has weight."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = {
            "f1_macro": _f1(outcomes, weights),
            "calibration_error": np.abs(_gaps(outcomes, weights)).sum(axis=1),
            "r2": _r2(outcomes, weights),
            "rank_ic": _correlation(_ranks(outcomes.expected, weights), _ranks(outcomes.actual, weights), weights),
        }
        if bars_per_year is not None:
            found["implied_sharpe"] = _sharpe(outcomes, weights) * np.sqrt(bars_per_year)
    return found


def _f1(outcomes: Outcomes, weights: np.ndarray) -> np.ndarray:
    """Unweighted mean over the classes that occur or are forecast."""
    classes = np.arange(outcomes.probabilities.shape[1])
    happened = outcomes.classes[:, None] == classes
    forecast = outcomes.probabilities.argmax(axis=1)[:, None] == classes
    total = weights @ happened.astype(float) + weights @ forecast.astype(float)
    ratio = 2 * (weights @ (happened & forecast).astype(float)) / total
    return np.where(total > 0, ratio, 0).sum(axis=1) / (total > 0).sum(axis=1)


def _gaps(outcomes: Outcomes, weights: np.ndarray) -> np.ndarray:
    """(samples, bins): share of hits minus confidence, by bin and as a share of all rows; their absolute values sum to
    `forecasts.calibration_error`."""
    confidence = outcomes.probabilities.max(axis=1)
    gap = (outcomes.probabilities.argmax(axis=1) == outcomes.classes) - confidence.astype(float)
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    in_bin = (bins[:, None] == np.arange(CALIBRATION_BINS)) * gap[:, None]
    return weights @ in_bin / weights.sum(axis=1, keepdims=True)


def _r2(outcomes: Outcomes, weights: np.ndarray) -> np.ndarray:
    total = weights.sum(axis=1)
    # Centred first: a variance from raw moments loses digits.
    centred = outcomes.actual - outcomes.actual.mean()
    squares = (outcomes.actual - outcomes.expected) ** 2
    variance = weights @ centred**2 / total - (weights @ centred / total) ** 2
    return np.where(variance > NO_VARIATION**2, 1 - weights @ squares / total / variance, 0.0)


def _ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean ranks (samples, n) of values (n,), each of which occurs as often as its weight."""
    _, place = np.unique(values, return_inverse=True)
    order = np.argsort(place, kind="stable")
    last = np.flatnonzero(np.diff(place[order], append=len(values)))
    up_to = weights[:, order].cumsum(axis=1)[:, last]
    own = np.diff(up_to, axis=1, prepend=0)
    return (up_to - own / 2)[:, place]


def _correlation(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    total = weights.sum(axis=1, keepdims=True)
    x = x - (weights * x).sum(axis=1, keepdims=True) / total
    y = y - (weights * y).sum(axis=1, keepdims=True) / total
    scale = np.sqrt((weights * x * x).sum(axis=1) * (weights * y * y).sum(axis=1))
    return np.where(scale > 0, (weights * x * y).sum(axis=1) / scale, 0.0)


def _sharpe(outcomes: Outcomes, weights: np.ndarray) -> np.ndarray:
    """Of `forecasts.implied_returns` per bar; a bar's rows share its weight."""
    _, first, place = np.unique(outcomes.bars, return_index=True, return_inverse=True)
    earned = np.bincount(place, np.sign(outcomes.expected) * outcomes.actual) / np.bincount(place)
    of_bar = weights[:, first]
    total = of_bar.sum(axis=1)
    mean = of_bar @ earned / total
    # A sample deviation, as in `returns.sharpe`.
    deviation = np.sqrt(np.maximum(of_bar @ earned**2 - total * mean**2, 0) / (total - 1))
    return np.where(deviation > NO_VARIATION, mean / deviation, 0.0)
