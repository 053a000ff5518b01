"""The universe: the recorded symbols that cross-asset features compare a symbol with, on a common clock."""

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import RLock
from typing import Self

import numpy as np
from numba import njit

from MLOps.compiled import CACHE
from MLOps.features.windows import lagged_log_return
from MLOps.memory_maps import map_array, save_array

# Added to the diagonal of a covariance, as a share of its mean variance: with more symbols than bars it would have no
# inverse (Ledoit & Wolf, 2004, shrink towards the same target).
SHRINKAGE = 0.1
CLOCK = "clock"


class Universe:
    """Log returns of the universe's symbols by timestamp, each over the symbol's own bars.

    The clock consists of the timestamps at which any symbol has a bar. Results are computed once; through `save` and
    `load`, once for several processes.

    Args:
        members: timestamps (bars,) datetime64[us] and closes (bars,) of each symbol, in the recorded order, which fixes
            the order of sums over symbols and so their bits.
    """

    def __init__(self, members: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
        stamps = [own for own, _ in members] or [np.empty(0, "datetime64[us]")]
        self._clock: np.ndarray = np.unique(np.concatenate(stamps))
        self._closes: list[tuple[np.ndarray, np.ndarray]] | None
        self._closes = [(self._places(own), close) for own, close in members]
        self._returns: dict[int, np.ndarray] = {}
        self._results: dict[str, np.ndarray] = {}
        self._lock = RLock()

    def save(self, folder: Path) -> None:
        """Write the clock and the results that were asked for so far; a loaded universe has no others."""
        for name, array in {CLOCK: self._clock, **self._results}.items():
            save_array(folder / f"{name}.npy", array)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The universe that `save` wrote, its results mapped from the files."""
        results = {file.stem: map_array(file) for file in folder.glob("*.npy")}
        universe = cls([])
        universe._clock, universe._results, universe._closes = results.pop(CLOCK), results, None
        return universe

    def beside(self, stamps: np.ndarray) -> "Beside":
        """The universe at the bars of one symbol, given by their timestamps (bars,) datetime64[us]."""
        places = np.minimum(self._places(stamps), max(len(self._clock) - 1, 0))
        on_clock = self._clock[places] == stamps if len(self._clock) else np.zeros(len(stamps), dtype=bool)
        return Beside(self, places, on_clock)

    def mean_return(self, lag: int) -> np.ndarray:
        """(clock,): mean of the known returns over `lag` of each symbol's bars."""
        return self._once(f"mean_{lag}", lambda: _mean_of_known(self._returns_over(lag)))

    def dispersion(self, lag: int) -> np.ndarray:
        """(clock,): standard deviation of the known returns across symbols."""

        def compute() -> np.ndarray:
            return np.sqrt(_mean_of_known((self._returns_over(lag) - self.mean_return(lag)[:, None]) ** 2))

        return self._once(f"dispersion_{lag}", compute)

    def breadth(self, lag: int) -> np.ndarray:
        """(clock,): share of the known returns that are above 0."""

        def compute() -> np.ndarray:
            returns = self._returns_over(lag)
            return _mean_of_known(np.where(np.isnan(returns), np.nan, (returns > 0) * 1.0))

        return self._once(f"breadth_{lag}", compute)

    def ascending(self, lag: int) -> np.ndarray:
        """(clock, symbols): the known returns of each tick in ascending order, then NaN."""

        def compute() -> np.ndarray:
            returns = self._returns_over(lag)
            return np.sort(np.where(np.isfinite(returns), returns, np.nan), axis=1)

        return self._once(f"ascending_{lag}", compute)

    def turbulence(self, window_bars: int) -> np.ndarray:
        """(clock,): Mahalanobis distance of the returns from those of the `window_bars` ticks before, per symbol.

        d = (y - μ)' Σ⁻¹ (y - μ) / n: Kritzman & Li, "Skulls, Financial Turbulence, and Risk Management" (2010), with Σ
        shrunk by SHRINKAGE. A symbol without a return at a tick adds nothing there.
        """
        return self._once(
            f"turbulence_{window_bars}", lambda: _turbulence(self._returns_over(1), window_bars, SHRINKAGE)
        )

    def _places(self, stamps: np.ndarray) -> np.ndarray:
        return np.searchsorted(self._clock, stamps)

    def _returns_over(self, lag: int) -> np.ndarray:
        """(clock, symbols): log return over `lag` of the symbol's bars; NaN without a bar, or with too few before.

        The symbols of a tick lie together, because most results are sums over them.
        """
        assert self._closes is not None, "nobody asked for this result before the universe was saved"
        if lag not in self._returns:
            result = np.full((len(self._clock), len(self._closes)), np.nan)
            for symbol, (places, close) in enumerate(self._closes):
                result[places, symbol] = lagged_log_return(close, lag)
            self._returns[lag] = result
        return self._returns[lag]

    def _once(self, name: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
        # Symbols are computed in threads that need the same results.
        with self._lock:
            if name not in self._results:
                self._results[name] = compute()
            return self._results[name]


class Beside:
    """The universe at one symbol's bars: every result has the shape (bars,), NaN where the universe has no bar."""

    def __init__(self, universe: Universe, places: np.ndarray, on_clock: np.ndarray) -> None:
        self._universe, self._places, self._on_clock = universe, places, on_clock

    def mean_return(self, lag: int) -> np.ndarray:
        return self._at(self._universe.mean_return(lag))

    def dispersion(self, lag: int) -> np.ndarray:
        return self._at(self._universe.dispersion(lag))

    def breadth(self, lag: int) -> np.ndarray:
        return self._at(self._universe.breadth(lag))

    def turbulence(self, window_bars: int) -> np.ndarray:
        return self._at(self._universe.turbulence(window_bars))

    def rank(self, lag: int, own_return: np.ndarray) -> np.ndarray:
        """Share of the universe whose return over `lag` bars lies below the symbol's, in [0, 1]."""
        return _share_below(self._universe.ascending(lag), self._places, self._on_clock, own_return)

    def _at(self, values: np.ndarray) -> np.ndarray:
        if not len(values):
            return np.full(len(self._places), np.nan)
        return np.where(self._on_clock, values[self._places], np.nan)


@njit(cache=CACHE, nogil=True)
def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Row means of (clock, symbols), summed in the order of the columns; NaN if no value is known."""
    result = np.full(values.shape[0], np.nan)
    for t in range(values.shape[0]):
        total, known = 0.0, 0
        for s in range(values.shape[1]):
            if np.isfinite(values[t, s]):
                total += values[t, s]
                known += 1
        if known > 0:
            result[t] = total / known
    return result


@njit(cache=CACHE, nogil=True)
def _share_below(ascending: np.ndarray, places: np.ndarray, on_clock: np.ndarray, own_return: np.ndarray) -> np.ndarray:
    """By bisection: a comparison with every symbol would make the work of all symbols grow with their square."""
    result = np.full(len(places), np.nan)
    for t in range(len(places)):
        if not on_clock[t]:
            continue
        known = _count_below(ascending, places[t], np.inf)
        if known > 0:
            result[t] = _count_below(ascending, places[t], own_return[t]) / known
    return result


@njit(cache=CACHE, nogil=True)
def _count_below(ascending: np.ndarray, tick: int, value: float) -> int:
    """How many returns of the tick are below `value`; NaN compares as below nothing, and nothing is below it."""
    first, stop = 0, ascending.shape[1]
    while first < stop:
        middle = (first + stop) // 2
        if ascending[tick, middle] < value:
            first = middle + 1
        else:
            stop = middle
    return first


@njit(cache=CACHE, nogil=True)
def _turbulence(returns: np.ndarray, window: int, shrinkage: float) -> np.ndarray:
    """Distances by the Gram matrix of each window's bars; neighbouring windows share most of its entries.

    With the centred returns X (window, n) of the window and y of the bar, Σ = X'X/window + λI, and
    y'(X'X/w + λI)⁻¹y = (y'y - (Xy)'(wλI + XX')⁻¹(Xy)) / λ (Woodbury): the size of the linear system is that of the
    window, whatever the number of symbols.
    """
    bars = returns.shape[0]
    known, gram = _lagged_products(returns, window)
    result = np.full(bars, np.nan)
    system = np.zeros((window, window))
    mean = np.zeros(window + 1)
    right = np.zeros(window)
    for t in range(window, bars):
        # Row i of the window is bar t - window + i; row `window` is the bar itself. Centred on the window's mean μ:
        # <x_i - μ, x_j - μ> = g_ij - m_i - m_j + m, with m_i = <x_i, μ> and m = <μ, μ>.
        centre = 0.0
        for i in range(window + 1):
            total = 0.0
            for j in range(window):
                late, early = max(i, j), min(i, j)
                total += gram[t - window + late, late - early]
            mean[i] = total / window
            if i < window:
                centre += mean[i]
        centre /= window
        trace = 0.0
        for i in range(window):
            for j in range(i + 1):
                system[i, j] = gram[t - window + i, i - j] - mean[i] - mean[j] + centre
            trace += system[i, i]
            right[i] = gram[t, window - i] - mean[i] - mean[window] + centre
        if known[t] == 0 or trace <= 0.0:
            continue
        penalty = shrinkage * trace / window / known[t]
        for i in range(window):
            system[i, i] += window * penalty
        distance = gram[t, 0] - 2 * mean[window] + centre - _quadratic_form(system, right)
        result[t] = distance / penalty / known[t]
    return result


@njit(cache=CACHE, nogil=True)
def _lagged_products(returns: np.ndarray, lags: int) -> tuple[np.ndarray, np.ndarray]:
    """The number of known returns at each tick, (clock,), and sums of returns at t times t - k, (clock, lags + 1)."""
    bars, symbols = returns.shape
    known = np.zeros(bars)
    gram = np.zeros((bars, lags + 1))
    for t in range(bars):
        for s in range(symbols):
            if np.isfinite(returns[t, s]):
                known[t] += 1
        for k in range(min(lags, t) + 1):
            for s in range(symbols):
                product = returns[t, s] * returns[t - k, s]
                if np.isfinite(product):
                    gram[t, k] += product
    return known, gram


@njit(cache=CACHE, nogil=True)
def _quadratic_form(system: np.ndarray, right: np.ndarray) -> float:
    """right' system⁻¹ right by Cholesky decomposition; overwrites the lower half of `system`."""
    n = len(right)
    total = 0.0
    for i in range(n):
        for j in range(i + 1):
            value = system[i, j]
            for k in range(j):
                value -= system[i, k] * system[j, k]
            system[i, j] = np.sqrt(value) if i == j else value / system[j, j]
        value = right[i]
        for k in range(i):
            value -= system[i, k] * right[k]
        right[i] = value / system[i, i]
        total += right[i] * right[i]
    return total
