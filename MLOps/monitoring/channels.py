"""The series in which changes of a panel show: one value a bar and channel, the mean over the symbols.

Values count by their rank among those of the same symbol in the reference, as normal scores: a channel is then bounded,
and neither heavy tails nor symbols of unlike volatility decide alone. The channels of a name are

- `level`: the score;
- `spread`: its size, which grows with the scale of the values;
- `given the others`: the score less its linear regression on the scores of all other names, from the inverse of their
  correlation matrix. A change that leaves a value in its usual range shows here if it contradicts the other values;
- `misfit`: the size of that.

A channel `mean` is the value itself.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Kind = Literal["level", "spread", "given the others", "misfit", "mean"]

KNOTS = 101  # quantiles that stand for a distribution
RIDGE = 0.01  # weight of the identity in the correlation matrix, since some features nearly determine each other
FOLDS = 10
JOINT = {"given the others", "misfit"}
LEAST_VALUES = 40  # of a symbol, below which its distribution is not known

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sketch:
    """Distributions by symbol and name: `knots` (symbols, names, KNOTS) are quantiles, NaN where too little is known;
    `values` is the number of values that the least probable rank stands for."""

    knots: Floats
    values: int

    @classmethod
    def fit(cls, values: Floats) -> "Sketch":
        """From (bars, symbols, names)."""
        known = np.isfinite(values).sum(axis=0)
        ordered = np.sort(np.where(np.isfinite(values), values, np.inf), axis=0)
        places = np.linspace(0, 1, KNOTS)[:, None, None] * np.maximum(known - 1, 0)
        below = places.astype(int)
        low = np.take_along_axis(ordered, below, axis=0)
        high = np.take_along_axis(ordered, np.minimum(below + 1, np.maximum(known - 1, 0)), axis=0)
        # Equal neighbours stay equal: a value that many share is a run of equal knots.
        knots = np.where(high > low, low + (places - below) * (high - low), low).transpose(1, 2, 0)
        knots[known < LEAST_VALUES] = np.nan
        return cls(knots, int(known.max(initial=1)))

    def scores(self, values: Floats) -> Floats:
        """Normal scores (bars, symbols, names); NaN where the value or its distribution is not known."""
        scores = np.full(values.shape, np.nan)
        least = 0.5 / max(self.values, 1)
        for place in zip(*np.nonzero(np.isfinite(self.knots[..., 0])), strict=True):
            knots, column = self.knots[place], values[:, place[0], place[1]]
            known = np.isfinite(column)
            below = np.searchsorted(knots, column[known], side="left")
            through = np.searchsorted(knots, column[known], side="right")
            ranks = np.interp(column[known], knots, np.linspace(0, 1, KNOTS))
            # A value that many share has the middle of their ranks.
            ranks = np.where(through - below > 1, (below + through - 1) / 2 / (KNOTS - 1), ranks)
            scores[known, place[0], place[1]] = ndtri(np.clip(ranks, least, 1 - least))
        return scores


@dataclass(frozen=True, eq=False)
class Channels:
    """Channels fitted to a reference.

    Attributes:
        kinds: of each name.
        sketch: None if all channels are `mean`.
        regression: (names, names) coefficients of `given the others` and `misfit`.
        level: (channels,) mean over the reference.
    """

    kinds: tuple[Kind, ...]
    sketch: Sketch | None
    regression: Floats
    level: Floats

    @classmethod
    def fit(cls, values: Floats, kinds: tuple[Kind, ...]) -> "Channels":
        """From (bars, symbols, names)."""
        sketch = None if kinds == ("mean",) else Sketch.fit(values)
        scores = values if sketch is None else sketch.scores(values)
        regression = _regression(scores) if JOINT & set(kinds) else np.empty((0, 0))
        level = _mean(_series(scores, kinds, regression), 0)
        return cls(kinds, sketch, regression, level)

    def deviations(self, values: Floats) -> Floats:
        """(bars, channels): around the level of the reference; all names of the first kind, then of the second, …"""
        scores = values if self.sketch is None else self.sketch.scores(values)
        return _series(scores, self.kinds, self.regression) - self.level


def out_of_fold(values: Floats, kinds: tuple[Kind, ...]) -> Floats:
    """(bars, channels): deviations of each tenth of the bars from the channels fitted to the other bars.

    They contain what a reference of this length does not know of itself, as the deviations of later bars do.
    """
    folds = np.array_split(np.arange(len(values)), FOLDS)
    parts = []
    for fold in folds:
        others = np.delete(values, fold, axis=0)
        parts.append(Channels.fit(others, kinds).deviations(values[fold]))
    return np.concatenate(parts)


def _series(scores: Floats, kinds: tuple[Kind, ...], regression: Floats) -> Floats:
    level = _mean(scores, 1)
    parts = {"level": level, "mean": level}
    if "spread" in kinds:
        parts["spread"] = _mean(np.abs(scores), 1)
    if JOINT & set(kinds):
        # A missing value has the score of the median, and no rest.
        rest = np.where(np.isnan(scores), np.nan, np.nan_to_num(scores) @ regression.T)
        parts |= {"given the others": _mean(rest, 1), "misfit": _mean(np.abs(rest), 1)}
    return np.concatenate([parts[kind] for kind in kinds], axis=1)


def _regression(scores: Floats) -> Floats:
    """Rows that give each score less its regression on the others: of the inverse correlation, over its diagonal."""
    flat = scores.reshape(-1, scores.shape[2])
    flat = flat[np.isfinite(flat).all(axis=1)]
    if len(flat) <= flat.shape[1]:
        return np.eye(flat.shape[1])
    deviations = flat - flat.mean(axis=0)
    scales = deviations.std(axis=0)
    deviations = deviations / np.where(scales > 0, scales, 1.0)
    correlation = (1 - RIDGE) * deviations.T @ deviations / len(flat) + RIDGE * np.eye(flat.shape[1])
    precision = np.linalg.inv(correlation)
    return np.asarray(precision / np.diag(precision)[:, None])


def _mean(values: Floats, axis: int) -> Floats:
    """Mean of the known values; NaN if there is none."""
    known = np.isfinite(values)
    counts = known.sum(axis=axis)
    return np.where(counts > 0, np.where(known, values, 0.0).sum(axis=axis) / np.maximum(counts, 1), np.nan)
