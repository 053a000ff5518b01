"""The market: prices and observations of all symbols as one read-only block shared by all accounts."""

from collections.abc import Iterable
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from MLOps.errors import UserError

OPEN, HIGH, LOW, CLOSE = range(4)
VOLUME, YEARS, TURBULENCE = range(3)
OBSERVABLE, DELISTED = 1, 2
YEAR = np.timedelta64(8766, "h")  # 365.25 days
# A symbol without this many of the market's last bars does not yet count as delisted.
OUTAGE_BARS = 5
T = TypeVar("T", bound=np.generic)

KEYS = ["timestamp", "symbol"]
OHLC = ["open", "high", "low", "close"]


class Block(NamedTuple):
    """Arrays for compiled code: always the full arrays, of which a market may show a part; never written to.

    They are flagged writable because Numba passes writable arrays several times faster than read-only ones. Data used
    by some rules only are separate from the prices, for speed.
    """

    prices: NDArray[np.float64]  # (S, B, 4) open, high, low, close; NaN where the symbol has no bar
    # (S, B, 3) shares traded, years since the symbol's previous bar, both NaN where it has no bar, and the turbulence
    # of the whole market, the same for all symbols, NaN where unknown.
    details: NDArray[np.float64]
    observations: NDArray[np.float32]  # (S, B, F)
    flags: NDArray[np.uint8]  # (S, B) sum of OBSERVABLE and, where the symbol is delisted at the close, DELISTED


class Market:
    """Prices [symbols, bars] and observations [symbols, bars, features] on a common clock; immutable.

    A symbol may be listed late, lack bars (an outage, a halt) and end early: there its prices are NaN and `alive` is
    false. Missing bars are not filled in.

    A symbol is delisted at its last bar if the market continues for more than `OUTAGE_BARS` bars and for longer than
    any earlier gap of the symbol.

    Attributes:
        symbols: S names, in the order of the first axis.
        timestamps: (B,) datetime64[ns], UTC without zone, increasing.
        open, high, low, close: (S, B) float64, NaN where the symbol has no bar.
        volume: (S, B) float64 likewise, or None if it is not known for every bar.
        alive: (S, B) bool, whether the symbol has a bar.
        has_later_bar: (S, B) bool, whether the symbol has a bar after this one, in the bars that this market shows.
        delisted: (S, B) bool, whether the symbol is delisted at the bar's close.
        observations: (S, B, F) float32, NaN where missing.
        observation_names: the names of the F columns.
        observable: (S, B) bool, whether the symbol has a bar and all its observations; decisions are made only there.
        turbulence: (B,) float64, or None; NaN where unknown.
        block: the arrays for compiled code; this market shows the bars first <= bar < stop.
    """

    def __init__(
        self,
        symbols: tuple[str, ...],
        timestamps: NDArray[np.datetime64],
        prices: NDArray[np.float64],
        observations: NDArray[np.float32],
        observation_names: tuple[str, ...],
        turbulence: NDArray[np.float64] | None = None,
        volume: NDArray[np.float64] | None = None,
    ) -> None:
        """Check and store the arrays.

        Args:
            symbols: S names.
            timestamps: (B,) increasing.
            prices: (S, B, 4) open, high, low and close; NaN where a symbol has no bar.
            observations: (S, B, F); NaN where missing.
            observation_names: F names.
            turbulence: (B,), the whole market's turbulence as known at each close.
            volume: (S, B) shares traded in each bar. The market has no volume unless every bar has a finite one of at
                least 0.

        Raises:
            UserError: for shapes that disagree, times out of order, prices that are not positive or whose high and low
                do not enclose open and close.
        """
        self.symbols = tuple(symbols)
        self.timestamps = _read_only(np.asarray(timestamps, dtype="datetime64[ns]"))
        self.observation_names = tuple(observation_names)
        self._check_shapes(prices, observations)
        alive: NDArray[np.bool_] = np.asarray(np.isfinite(prices).all(axis=2))
        self._check_prices(prices, alive)
        self._has_turbulence = turbulence is not None
        if turbulence is not None and turbulence.shape != self.timestamps.shape:
            raise UserError(f"market: expected turbulence of {len(self.timestamps)} bars, found {len(turbulence)}")
        if volume is not None and volume.shape != alive.shape:
            raise UserError(f"market: expected volume of shape {alive.shape}, found {volume.shape}")
        self._has_volume = volume is not None and bool((np.isfinite(volume) & (volume >= 0))[alive].all())
        details = np.full((*alive.shape, 3), np.nan)
        if volume is not None:
            details[..., VOLUME] = np.where(alive, volume, np.nan)
        details[..., YEARS], delisted = _years_and_delistings(self.timestamps, alive)
        if turbulence is not None:
            details[..., TURBULENCE] = turbulence
        observations = np.ascontiguousarray(observations, dtype=np.float32)
        observable = alive & np.isfinite(observations).all(axis=2)
        flags = (OBSERVABLE * observable + DELISTED * delisted).astype(np.uint8)
        self.block = Block(np.ascontiguousarray(prices, dtype=np.float64), details, observations, flags)
        self.first, self.stop = 0, len(self.timestamps)

    @classmethod
    def from_tables(
        cls,
        bars: pd.DataFrame,
        observations: pd.DataFrame,
        turbulence: pd.Series | None = None,
        only: Iterable[str] | None = None,
    ) -> "Market":
        """Build the block from long tables.

        Args:
            bars: columns `timestamp` (UTC), `symbol`, `open`, `high`, `low`, `close`, and `volume` if known; further
                columns are ignored.
            observations: `timestamp`, `symbol` and one float column per observation, in the order to be kept; where a
                row is missing, the symbol is not observable.
            turbulence: indexed by timestamp; NaN for bars without a value.
            only: the symbols of the market; None for all that have bars.

        Raises:
            UserError: for a missing column, duplicate keys, observations without a bar, one of `only` without bars, or
                arrays that `Market` refuses.
        """
        names = [column for column in observations.columns if column not in KEYS]
        for table, wanted, label in ((bars, KEYS + OHLC, "bars"), (observations, KEYS, "observations")):
            missing = [column for column in wanted if column not in table.columns]
            if missing:
                raise UserError(f"market: {label} lack the column {missing[0]!r}; found {', '.join(table.columns)}")
            duplicates = table.duplicated(KEYS)
            if duplicates.any():
                first = table.loc[duplicates, KEYS].iloc[0]
                raise UserError(
                    f"market: {label} must be unique by timestamp and symbol; {int(duplicates.sum())} duplicates, "
                    f"first {first['symbol']} {first['timestamp']}"
                )
        if only is not None:
            kept = set(only)
            bars, observations = bars[bars["symbol"].isin(kept)], observations[observations["symbol"].isin(kept)]
            if absent := sorted(kept - set(bars["symbol"])):
                raise UserError(f"market: expected bars of {', '.join(sorted(kept))}, found none of {absent[0]}")
        if bars.empty:
            raise UserError("market: expected bars, found none")
        symbols = np.unique(bars["symbol"].to_numpy(dtype=str))
        clock = np.unique(_utc(bars["timestamp"]))
        prices = np.full((len(symbols), len(clock), len(OHLC)), np.nan)
        places = _places(bars, symbols, clock, "bars")
        prices[places] = bars[OHLC].to_numpy(dtype=np.float64)
        volume = None
        if "volume" in bars.columns:
            volume = np.full(prices.shape[:2], np.nan)
            volume[places] = bars["volume"].to_numpy(dtype=np.float64)
        present = np.zeros((len(symbols), len(clock)), dtype=bool)
        present[places] = True
        block = np.full((len(symbols), len(clock), len(names)), np.nan, dtype=np.float32)
        places = _places(observations, symbols, clock, "observations")
        if not present[places].all():
            first = observations.loc[~present[places], KEYS].iloc[0]
            raise UserError(f"market: an observation of {first['symbol']} at {first['timestamp']} has no bar")
        block[places] = observations[names].to_numpy(dtype=np.float32)
        on_clock = None
        if turbulence is not None:
            by_time = pd.Series(turbulence.to_numpy(dtype=np.float64), index=_utc(turbulence.index))
            on_clock = by_time.reindex(clock).to_numpy(dtype=np.float64)
        return cls(tuple(str(s) for s in symbols), clock, prices, block, tuple(names), on_clock, volume)

    @property
    def open(self) -> NDArray[np.float64]:
        return self._shown(self.block.prices)[..., OPEN]

    @property
    def high(self) -> NDArray[np.float64]:
        return self._shown(self.block.prices)[..., HIGH]

    @property
    def low(self) -> NDArray[np.float64]:
        return self._shown(self.block.prices)[..., LOW]

    @property
    def close(self) -> NDArray[np.float64]:
        return self._shown(self.block.prices)[..., CLOSE]

    @property
    def volume(self) -> NDArray[np.float64] | None:
        return self._shown(self.block.details)[..., VOLUME] if self._has_volume else None

    @property
    def alive(self) -> NDArray[np.bool_]:
        return _read_only(np.isfinite(self.close))

    @property
    def has_later_bar(self) -> NDArray[np.bool_]:
        later = np.zeros((self.n_symbols, self.n_bars), dtype=bool)
        later[:, :-1] = np.logical_or.accumulate(self.alive[:, :0:-1], axis=1)[:, ::-1]
        return _read_only(later)

    @property
    def delisted(self) -> NDArray[np.bool_]:
        return _read_only((self._shown(self.block.flags) & DELISTED).astype(bool))

    @property
    def observations(self) -> NDArray[np.float32]:
        return self._shown(self.block.observations)

    @property
    def observable(self) -> NDArray[np.bool_]:
        return _read_only((self._shown(self.block.flags) & OBSERVABLE).astype(bool))

    @property
    def turbulence(self) -> NDArray[np.float64] | None:
        return self._shown(self.block.details)[0, :, TURBULENCE] if self._has_turbulence else None

    @property
    def n_symbols(self) -> int:
        return len(self.symbols)

    @property
    def n_bars(self) -> int:
        return self.stop - self.first

    def between(self, start: Any, end: Any) -> "Market":
        """The bars with start <= timestamp < end, as a view on the same memory.

        Args:
            start: anything pandas reads as a time; UTC if it has no time zone. None for the first bar.
            end: likewise; None for after the last bar.

        Raises:
            UserError: when there is no bar between them.
        """
        first = 0 if start is None else int(np.searchsorted(self.timestamps, _instant(start)))
        stop = self.n_bars if end is None else int(np.searchsorted(self.timestamps, _instant(end)))
        if first >= stop:
            raise UserError(
                f"market: no bar with {start} <= timestamp < {end}; it runs from {self.timestamps[0]} "
                f"to {self.timestamps[-1]}"
            )
        view = object.__new__(Market)
        view.__dict__.update(self.__dict__)
        view.first, view.stop = self.first + first, self.first + stop
        view.timestamps = self.timestamps[first:stop]
        return view

    def observing(self, observations: NDArray[np.float32], names: Iterable[str]) -> "Market":
        """The same bars with other observations.

        Args:
            observations: (S, B, F); NaN where missing.
            names: F names.

        Raises:
            UserError: for shapes that disagree or names that repeat.
        """
        view = object.__new__(Market)
        view.__dict__.update(self.__dict__)
        view.observation_names = tuple(names)
        view._check_shapes(self._shown(self.block.prices), observations)
        # Bars of the block that this market does not show have no observations.
        block = np.full((*self.block.flags.shape, observations.shape[2]), np.nan, np.float32)
        block[:, self.first : self.stop] = observations
        observable = np.isfinite(self.block.prices).all(axis=2) & np.isfinite(block).all(axis=2)
        flags = (OBSERVABLE * observable + (self.block.flags & DELISTED)).astype(np.uint8)
        view.block = self.block._replace(observations=block, flags=flags)
        return view

    def _shown(self, array: NDArray[T]) -> NDArray[T]:
        """The part (S, B, ...) of one of the block's arrays that this market shows, read-only."""
        return _read_only(array[:, self.first : self.stop])

    def _check_shapes(self, prices: NDArray[np.float64], observations: NDArray[np.float32]) -> None:
        expected = (len(self.symbols), len(self.timestamps))
        if prices.shape != (*expected, len(OHLC)):
            raise UserError(f"market: expected prices of shape {(*expected, len(OHLC))}, found {prices.shape}")
        shape = (*expected, len(self.observation_names))
        if observations.shape != shape:
            raise UserError(f"market: expected observations of shape {shape}, found {observations.shape}")
        if len(set(self.symbols)) != len(self.symbols):
            raise UserError(f"market: symbols must be unique, found {', '.join(self.symbols)}")
        if len(set(self.observation_names)) != len(self.observation_names):
            raise UserError(f"market: observation names must be unique, found {', '.join(self.observation_names)}")
        late = np.flatnonzero(np.diff(self.timestamps) <= np.timedelta64(0))
        if len(late):
            raise UserError(f"market: timestamps must increase, but do not after {self.timestamps[late[0]]}")

    def _check_prices(self, prices: NDArray[np.float64], alive: NDArray[np.bool_]) -> None:
        broken = np.argwhere(~np.isnan(prices).all(axis=2) & ~alive)
        if len(broken):
            s, b = broken[0]
            raise UserError(
                f"market: {self.symbols[s]} at {self.timestamps[b]}: expected finite open, high, low and close, "
                f"found {prices[s, b]}"
            )
        for s, symbol in enumerate(self.symbols):
            bars = np.flatnonzero(alive[s])
            if not len(bars):
                raise UserError(f"market: {symbol} has no bar")
            open_, high, low, close = prices[s, bars].T
            for wrong, rule in (
                (low <= 0, "prices must be positive"),
                (low > np.minimum(open_, close), "the low must not exceed open and close"),
                (high < np.maximum(open_, close), "the high must not be below open and close"),
            ):
                if wrong.any():
                    bar = bars[np.flatnonzero(wrong)[0]]
                    found = ", ".join(f"{name} {price:g}" for name, price in zip(OHLC, prices[s, bar], strict=True))
                    raise UserError(f"market: {symbol} at {self.timestamps[bar]}: {rule}; found {found}")


def _years_and_delistings(
    timestamps: NDArray[np.datetime64], alive: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(S, B) years since the symbol's previous bar, 0 at its first; (S, B) whether it is delisted at the close."""
    years, delisted = np.where(alive, 0.0, np.nan), np.zeros(alive.shape, bool)
    for symbol, has_bar in enumerate(alive):
        bars = np.flatnonzero(has_bar)
        years[symbol, bars[1:]] = np.diff(timestamps[bars]) / YEAR
        absences = np.diff(bars, append=len(has_bar)) - 1
        delisted[symbol, bars[-1]] = absences[-1] > max(OUTAGE_BARS, absences[:-1].max(initial=0))
    return years, delisted


def _places(
    table: pd.DataFrame, symbols: NDArray[Any], clock: NDArray[np.datetime64], label: str
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The rows of `table` as indices into the block's symbols and bars."""
    indices = []
    for column, known, values in (
        ("symbol", symbols, table["symbol"].to_numpy(dtype=str)),
        ("timestamp", clock, _utc(table["timestamp"])),
    ):
        index = np.minimum(np.searchsorted(known, values), len(known) - 1)
        strange = known[index] != values
        if strange.any():
            raise UserError(f"market: {label} have the {column} {values[strange][0]}, which has no bar")
        indices.append(index)
    return indices[0], indices[1]


def _utc(times: Any) -> NDArray[np.datetime64]:
    return pd.DatetimeIndex(pd.to_datetime(times, utc=True)).tz_localize(None).to_numpy(dtype="datetime64[ns]")


def _instant(time: Any) -> np.datetime64:
    stamp = pd.Timestamp(time)
    if stamp.tzinfo is not None:
        stamp = stamp.tz_convert("UTC").tz_localize(None)
    return stamp.to_datetime64()


def _read_only(array: NDArray[T]) -> NDArray[T]:
    view = array.view()
    view.flags.writeable = False
    return view
