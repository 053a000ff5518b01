"""Definition of a feature and its inputs.

A feature's value at bar t is a function of the `warmup_bars` bars up to and including t alone: dropping earlier bars or
changing later ones leaves it bit-identical. Features do not depend on price level or currency, so that one model fits
all symbols.
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
    """One symbol's bars as arrays of shape (bars,), and the universe at these bars.

    `timestamp` is datetime64[us] in UTC. `sentiment` (mean score in [-1, 1] of the items known at the bar, 0 if there
    are none) and `sentiment_items` (their number) are NaN if the bars have no sentiment columns; so is `volume` if they
    have no volume.
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
        """Log return of each close from the previous close; NaN for the first."""
        return lagged_log_return(self.close, 1)

    @cached_property
    def traded(self) -> np.ndarray:
        """Volume, raised to at least TRADED_SHARE of its mean over the last TRADED_BARS bars so that it has a log.

        The floor scales with the unit of volume. NaN if all of those bars have volume 0, or before there are so many.
        """
        return np.maximum(self.volume, TRADED_SHARE * self.mean_volume(TRADED_BARS))

    def mean_volume(self, bars: int) -> np.ndarray:
        """Mean volume of the last `bars` bars; NaN instead of 0, because features divide by it."""
        mean = rolling_mean(self.volume, bars)
        return np.where(mean > 0, mean, np.nan)

    def once(self, key: Hashable, compute: Callable[[], tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
        """The result of `compute`, cached by `key` and shared between features."""
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
        warmup_bars: number of bars, the newest included, that a value depends on.
        compute: maps one symbol's bars to float64 values (bars,); values within the warm-up are ignored.
        formula: one line, with its source if it has one; shown in `docs/features.md`.
        needs: "universe" for a feature that compares a symbol with the recorded universe, "volume" for one that uses
            volume, "sentiment" for one that uses the sentiment columns.
    """

    warmup_bars: int
    compute: Callable[[SymbolBars], np.ndarray]
    formula: str
    needs: str = ""
