"""Values by bar, symbol and name as one array: features, forecasts, decisions, or returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MOST_VALUES = 8_000_000  # of a stored panel, 32 MB; of a longer one the newest bars are kept


@dataclass(frozen=True, eq=False)
class Panel:
    """`values` (bars, symbols, names) float32, NaN where a value is not known; `timestamps` (bars,) datetime64[us]."""

    timestamps: NDArray[np.datetime64]
    symbols: tuple[str, ...]
    names: tuple[str, ...]
    values: NDArray[np.float32]

    @classmethod
    def of(cls, table: pd.DataFrame, names: Sequence[str]) -> "Panel":
        """From a long table with `timestamp` in UTC and `symbol`; bars without any known value are left out."""
        stamps = table["timestamp"].dt.tz_convert(None).to_numpy(dtype="datetime64[us]")
        clock, rows = np.unique(stamps, return_inverse=True)
        symbols, columns = np.unique(table["symbol"].to_numpy(dtype=str), return_inverse=True)
        values = np.full((len(clock), len(symbols), len(names)), np.nan, np.float32)
        values[rows, columns] = table[list(names)].to_numpy(np.float32)
        values[~np.isfinite(values)] = np.nan
        return cls(clock, tuple(map(str, symbols)), tuple(names), values).known()

    def where(self, bars: NDArray[np.bool_]) -> "Panel":
        return replace(self, timestamps=self.timestamps[bars], values=self.values[bars])

    def known(self) -> "Panel":
        """Without the bars at which nothing is known."""
        return self.where(np.asarray(np.isfinite(self.values).any(axis=(1, 2))))

    def newest(self, bars: int) -> "Panel":
        return self.where(np.arange(len(self.timestamps)) >= len(self.timestamps) - bars)

    def of_symbols(self, symbols: Sequence[str]) -> "Panel":
        """These symbols, in this order."""
        places = [self.symbols.index(symbol) for symbol in symbols]
        return replace(self, symbols=tuple(symbols), values=self.values[:, places])

    def bounded(self) -> "Panel":
        """At most MOST_VALUES values."""
        return self.newest(max(1, MOST_VALUES // max(1, len(self.symbols) * len(self.names))))

    def known_bars(self) -> NDArray[np.intp]:
        """(symbols,): bars at which anything of a symbol is known."""
        return np.asarray(np.isfinite(self.values).any(axis=2).sum(axis=0))

    def arrays(self) -> dict[str, np.ndarray]:
        """As safetensors hold it."""
        return {"timestamps": self.timestamps.astype(np.int64), "values": self.values}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], symbols: Sequence[str], names: Sequence[str]) -> "Panel":
        return cls(arrays["timestamps"].astype("datetime64[us]"), tuple(symbols), tuple(names), arrays["values"])
