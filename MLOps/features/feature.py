"""What a feature is, and what it is computed from.

A feature's value at bar t is a function of the `warmup_bars` bars up to and including t, and of nothing else: cutting
the history before them, or changing anything after t, leaves its bits as they are. Features are free of price level
and currency, so that one model serves every symbol.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from MLOps.features.talib_windows import windowed_talib
from MLOps.features.universe import Beside
from MLOps.features.windows import lagged_log_return, rolling_mean

TRADED_BARS = 20
TRADED_SHARE = 1e-3


@dataclass(frozen=True)
class SymbolBars:
    """One symbol's bars as arrays of shape (bars,), and the universe beside them.

    `timestamp` is datetime64[us] in UTC. `sentiment` (mean score in [-1, 1] of what was published for the bar, 0 for
    nothing) and `sentiment_items` (how much was published) are NaN where the bars carry no sentiment, and so is
    `volume` where they carry none.
    """

    timestamp: np.ndarray
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    sentiment: np.ndarray
    sentiment_items: np.ndarray
    universe: Beside
    _kept: dict[Hashable, tuple[np.ndarray, ...]] = field(default_factory=dict, repr=False)

    @cached_property
    def log_return(self) -> np.ndarray:
        """Of each close against the close before; NaN for the first."""
        return lagged_log_return(self.close, 1)

    @cached_property
    def traded(self) -> np.ndarray:
        """Volume, at least TRADED_SHARE of its mean over the last TRADED_BARS bars: it may be 0, and has no log then.

        The floor moves with the unit of volume. NaN where all of those bars have none, and before there are so many.
        """
        return np.maximum(self.volume, TRADED_SHARE * self.mean_volume(TRADED_BARS))

    def mean_volume(self, bars: int) -> np.ndarray:
        """Of the last `bars` bars; NaN where they have none, for nothing is a share of it."""
        mean = rolling_mean(self.volume, bars)
        return np.where(mean > 0, mean, np.nan)

    def once(self, key: Hashable, compute: Callable[[], tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
        """What `compute` answers, computed once for all the features that ask by the same key."""
        if key not in self._kept:
            self._kept[key] = compute()
        return self._kept[key]

    def talib(self, name: str, inputs: str, window_bars: int, **options: float) -> tuple[np.ndarray, ...]:
        """TA-Lib's indicator on windows (see `windowed_talib`) of the named arrays, as in "high low close"."""
        return self.once(
            (name, inputs, window_bars, *options.items()),
            lambda: windowed_talib(name, tuple(getattr(self, array) for array in inputs.split()), window_bars, options),
        )


@dataclass(frozen=True)
class Feature:
    """An entry of the catalogue.

    Attributes:
        warmup_bars: the bars, the newest included, that a value is a function of.
        compute: maps one symbol's bars to float64 values (bars,), of which those of the warm-up count for nothing.
        formula: in one line, with its source where it has one; `docs/features.md` shows it.
        needs: "universe" for a feature that compares a symbol with the recorded universe, "volume" for one of the
            bars' volume, "sentiment" for one of their sentiment columns.
    """

    warmup_bars: int
    compute: Callable[[SymbolBars], np.ndarray]
    formula: str
    needs: str = ""
