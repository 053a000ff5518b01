"""Features from bars, by the same function in the pipeline and in the served model."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from MLOps.data.bars import KEYS, PRICES, SENTIMENT, VALUES, VOLUME
from MLOps.errors import UserError
from MLOps.features.catalogue import CATALOGUE, chosen
from MLOps.features.feature import SymbolBars
from MLOps.features.universe import Universe

BLOCK_ROWS = 2**18  # whose symbols are compared at once
LATE_BARS = 5  # a symbol has ended if its last bar is more than this many market bars before the newest


@dataclass(frozen=True)
class Life:
    """A symbol's first and last bar when the pipeline was fitted, and whether it had ended by then."""

    symbol: str
    first: pd.Timestamp
    last: pd.Timestamp
    ended: bool

    def overlaps(self, first: pd.Timestamp, last: pd.Timestamp) -> bool:
        """Whether the symbol may have had a bar between the two times."""
        return self.first <= last and not (self.ended and self.last < first)


@dataclass(frozen=True)
class FeaturePipeline:
    """The selected features, and the universe that cross-asset features compare with.

    The universe is the fixed list of symbols in the training span: further symbols in a request, or symbols listed
    later, do not change other symbols' features. `left_out` gives the reason for each configured feature that cannot be
    computed from the bars.
    """

    names: tuple[str, ...]
    lives: tuple[Life, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def fit(cls, entries: Iterable[str], bars: pd.DataFrame, training: np.ndarray | None = None) -> "FeaturePipeline":
        """Select the features and families `entries` whose inputs the bars have.

        Args:
            entries: names of features and families.
            bars: all bars, in contract form; also gives the first and last bar of each symbol.
            training: mask of the rows of the training span, whose symbols are the universe; None for all rows.

        Raises:
            UserError: an entry is not in the catalogue, or no feature remains.
        """
        asked = chosen(entries)
        members = sorted(bars.loc[training, "symbol"].unique() if training is not None else bars["symbol"].unique())
        lacking = {}
        if VOLUME not in bars.columns:
            lacking["volume"] = "the bars have no volume"
        if len(members) < 2:
            lacking["universe"] = f"it compares symbols, and the training span has {', '.join(members)} only"
        left_out = {name: lacking[CATALOGUE[name].needs] for name in asked if CATALOGUE[name].needs in lacking}
        names = tuple(name for name in asked if name not in left_out)
        if not names:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
            raise UserError(
                f"features.names: expected a feature that can be computed from these bars, found none ({reasons}); "
                "add others"
            )
        return cls(names, _lives(bars, members), left_out)

    @property
    def universe(self) -> tuple[str, ...]:
        """The symbols that cross-asset features compare with, in order."""
        return tuple(life.symbol for life in self.lives)

    @property
    def warmup_bars(self) -> int:
        """Number of bars of a symbol, the newest included, that its features need."""
        return max(CATALOGUE[name].warmup_bars for name in self.names)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns of bars, besides the keys, that `compute` needs."""
        return (
            *PRICES,
            *((VOLUME,) if self._need("volume") else ()),
            *(SENTIMENT if self._need("sentiment") else ()),
        )

    @property
    def crosses(self) -> bool:
        """Whether a feature compares a symbol with the universe."""
        return self._need("universe")

    def _need(self, what: str) -> bool:
        return any(CATALOGUE[name].needs == what for name in self.names)

    def compute(self, bars: pd.DataFrame, threads: int = 1, universe: Universe | None = None) -> pd.DataFrame:
        """Features of bars in contract form; the number of threads does not change any bit of the result.

        Args:
            universe: at the time of `bars`, which may then be those of some of its symbols; None takes it from them.

        Returns:
            A table with the same keys in the same order and one float32 column per feature. All features of a bar are
            NaN until the longest warm-up is over.

        Raises:
            UserError: an input column is missing, or features compare symbols and a symbol of the universe that traded
                in the time of `bars` is missing.
        """
        if lacking := [name for name in self.inputs if name not in bars.columns]:
            hint = "set data.sentiment.enabled, or send them" if lacking[0] in SENTIMENT else "add it, or send it"
            raise UserError(
                f"bars: the features need the columns {', '.join(self.inputs)}; {', '.join(lacking)} missing; "
                f"{hint} with the bars"
            )
        rows = rows_by_symbol(bars)
        beside = self._universe_at(bars, rows) if universe is None else universe
        arrays = symbol_bars(bars, rows, beside)
        values = np.full((len(bars), len(self.names)), np.nan, dtype=np.float32)

        def fill(symbol: str) -> None:
            block = np.full((len(rows[symbol]), len(self.names)), np.nan, dtype=np.float32)
            for column, name in enumerate(self.names):
                block[:, column] = CATALOGUE[name].compute(arrays[symbol])
            block[: self.warmup_bars - 1] = np.nan
            values[rows[symbol]] = block
            # What its features have shared takes more memory than they do.
            del arrays[symbol]

        if threads == 1:
            for symbol in rows:
                fill(symbol)
        else:
            # Compiled kernels and NumPy loops release the GIL, so threads run in parallel.
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(fill, rows))
        features = bars.loc[:, list(KEYS)].reset_index(drop=True)
        return pd.concat([features, pd.DataFrame(values, columns=list(self.names))], axis=1)

    def universe_at(self, bars: pd.DataFrame) -> Universe:
        """The universe at the time of `bars`, in contract form; empty if no feature compares symbols.

        Raises:
            UserError: a symbol of it that traded then is missing.
        """
        return self._universe_at(bars, rows_by_symbol(bars))

    def _universe_at(self, bars: pd.DataFrame, rows: Mapping[str, np.ndarray]) -> Universe:
        """See `universe_at`."""
        if not self.crosses:
            return Universe([])
        if absent := self._absent(bars, rows):
            first, last = _window(bars, rows)
            raise UserError(
                f"bars: the features compare symbols and need every symbol of the universe that traded from "
                f"{first.isoformat()} to {last.isoformat()}; {', '.join(absent)} missing; add their bars; for a symbol "
                "that has ended since, add its last bars"
            )
        stamps, close = _stamps(bars), bars["close"].to_numpy(float)
        return Universe([(stamps[rows[name]], close[rows[name]]) for name in self.universe if name in rows])

    def absent(self, bars: pd.DataFrame) -> list[str]:
        """The symbols of the universe that may have traded in the time of `bars` but have no bar there."""
        return self._absent(bars, rows_by_symbol(bars))

    def _absent(self, bars: pd.DataFrame, rows: Mapping[str, np.ndarray]) -> list[str]:
        """See `absent`."""
        window, present = _window(bars, rows), set(rows)
        return [life.symbol for life in self.lives if life.symbol not in present and life.overlaps(*window)]

    def to_dict(self) -> dict[str, Any]:
        universe = [
            {"symbol": life.symbol, "first": life.first.isoformat(), "last": life.last.isoformat(), "ended": life.ended}
            for life in self.lives
        ]
        return {
            "names": list(self.names),
            "universe": universe,
            "left_out": dict(self.left_out),
            "warmup_bars": self.warmup_bars,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "FeaturePipeline":
        """From the values of `to_dict`.

        Raises:
            UserError: a feature or a symbol is named twice.
        """
        for what, named in (("feature", values["names"]), ("symbol", [life["symbol"] for life in values["universe"]])):
            if len(set(named)) < len(named):
                raise UserError(f"feature_pipeline.json: expected each {what} once; `dvc repro` makes it anew")
        lives = tuple(
            Life(life["symbol"], pd.Timestamp(life["first"]), pd.Timestamp(life["last"]), life["ended"])
            for life in values["universe"]
        )
        return cls(tuple(values["names"]), lives, values["left_out"])


def _lives(bars: pd.DataFrame, symbols: list[str]) -> tuple[Life, ...]:
    clock = np.sort(bars["timestamp"].unique())
    own = bars.groupby("symbol")["timestamp"].agg(["min", "max"])
    late = clock[-min(LATE_BARS + 1, len(clock))]
    return tuple(
        Life(str(symbol), own.loc[symbol, "min"], own.loc[symbol, "max"], bool(own.loc[symbol, "max"] < late))
        for symbol in symbols
    )


def _window(bars: pd.DataFrame, rows: Mapping[str, np.ndarray]) -> tuple[pd.Timestamp, pd.Timestamp]:
    """The time span used by the features of the newest bars: from the first bar of the symbols with the newest bar.

    Older bars of symbols that ended long ago are ignored.
    """
    stamps = bars["timestamp"].to_numpy(dtype="int64")
    newest = stamps.max()
    first = min(stamps[own[0]] for own in rows.values() if stamps[own[-1]] == newest)
    return tuple(pd.Timestamp(stamp, unit="us", tz="UTC") for stamp in (first, newest))


def rows_by_symbol(bars: pd.DataFrame) -> dict[str, np.ndarray]:
    """Row numbers by symbol, of bars in contract form: a symbol's rows follow each other."""
    # In a quarter of the time of pandas' groups on the few bars of a request. In blocks, because each text becomes an
    # object.
    symbols, starts = bars["symbol"], [np.zeros(1, dtype=np.intp)]
    for first in range(1, len(symbols), BLOCK_ROWS):
        block = symbols.iloc[first - 1 : first + BLOCK_ROWS].to_numpy(dtype=object)
        starts.append(first + np.flatnonzero(block[1:] != block[:-1]))
    begins = np.concatenate(starts)[: len(symbols)]
    names = symbols.iloc[begins].to_numpy(dtype=object)
    return dict(zip(names, np.split(np.arange(len(symbols)), begins[1:]), strict=False))


def symbol_bars(bars: pd.DataFrame, rows: Mapping[str, np.ndarray], universe: Universe) -> dict[str, SymbolBars]:
    """Each symbol's bars as arrays, and the `universe` at them."""
    stamps = _stamps(bars)
    unknown = np.full(len(bars), np.nan)
    columns = {name: bars[name].to_numpy(float) if name in bars.columns else unknown for name in (*VALUES, *SENTIMENT)}
    return {
        symbol: SymbolBars(
            timestamp=stamps[own],
            universe=universe.beside(stamps[own]),
            **{name: column[own] for name, column in columns.items()},
        )
        for symbol, own in rows.items()
    }


def _stamps(bars: pd.DataFrame) -> np.ndarray:
    return bars["timestamp"].dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
