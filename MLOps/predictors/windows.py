"""Windows over the feature table: views of one array, copied one batch at a time."""

from collections.abc import Iterator
from copy import copy

import numpy as np
import pandas as pd

from MLOps.errors import UserError
from MLOps.features.scaler import Scaler
from MLOps.memory_maps import mapped_rows

BLOCK_ROWS = 2**16  # of features, copied at once


class Windows:
    """The windows of `lookback_bars` rows that end at each row of a feature table.

    A window is whole if all its rows belong to one symbol and have features; `whole` masks the rows at which one ends.
    `run_bars` is, at each row, the number of the symbol's consecutive rows with features up to it.
    """

    def __init__(self, features: pd.DataFrame, names: tuple[str, ...], lookback_bars: int) -> None:
        self.values = values_of(features, names)
        self.names = names
        valid = has_features(self.values)
        begins = (features["symbol"] != features["symbol"].shift()).to_numpy(dtype=bool)
        starts = begins | ~valid
        row = np.arange(len(features))
        last_start = np.maximum.accumulate(np.where(starts, row, 0))
        # After an invalid row, the run begins with the next row.
        self.run_bars = row - last_start + valid[last_start]
        self._longest_bars = int(np.diff(row[begins], append=len(row)).max(initial=0))
        self._valid = valid
        self._look_back(lookback_bars)

    def of(self, lookback_bars: int) -> "Windows":
        """The windows of another length over the same features."""
        other = copy(self)
        other._look_back(lookback_bars)
        return other

    def _look_back(self, lookback_bars: int) -> None:
        self.lookback_bars = lookback_bars
        self.whole = self._valid & (self.run_bars >= lookback_bars)
        if not self.whole.any():
            raise UserError(
                f"predictors: a look-back of {lookback_bars} bars needs that many rows of features after the warm-up; "
                f"the longest symbol has {self._longest_bars} bars; shorten lookback_bars or add history"
            )

    def ending_at(self, rows: np.ndarray) -> np.ndarray:
        """Copies of the windows that end at `rows`: (n, lookback_bars, features), oldest bar first."""
        return self.values[rows[:, None] + np.arange(1 - self.lookback_bars, 1)]

    def fit_scaler(self, rows: np.ndarray) -> Scaler:
        """A scaler fitted on the rows in the windows that end at `rows`, and on no others.

        Raises:
            UserError: a feature has no finite value there, so missing values cannot be imputed.
        """
        opened = np.zeros(len(self.values) + 1, dtype=np.int32)
        np.add.at(opened, rows - self.lookback_bars + 1, 1)
        np.add.at(opened, rows + 1, -1)
        seen = np.cumsum(opened[:-1]) > 0
        known = np.zeros(len(self.names), dtype=bool)

        def blocks() -> Iterator[np.ndarray]:
            for block in row_blocks(len(self.values)):
                values = self.values[block][seen[block]]
                known[:] |= np.isfinite(values).any(axis=0)
                yield values

        values = mapped_rows(blocks())
        if empty := [name for name, is_known in zip(self.names, known, strict=True) if not is_known]:
            raise UserError(
                f"features: {', '.join(empty)} has no finite value in the training rows, so it cannot be imputed; "
                "remove it from features.names or add history"
            )
        return Scaler.fit(values)

    def scaled(self, scaler: Scaler) -> np.ndarray:
        """All values, scaled; in a memory map, as they are."""
        return mapped_rows(scaler.transform(self.values[block]) for block in row_blocks(len(self.values)))


def values_of(features: pd.DataFrame, names: tuple[str, ...]) -> np.ndarray:
    """The columns `names` of a feature table, (rows, names) float32 in row-major order.

    All its features, in order, are not copied: those of `read_features` lie in a memory map.
    """
    # A slice of columns shares the table's memory, a list of columns copies them.
    is_all = tuple(features.columns[-len(names) :]) == names
    table = features.iloc[:, -len(names) :] if is_all else features[list(names)]
    return np.ascontiguousarray(table.to_numpy(dtype=np.float32))


def has_features(values: np.ndarray) -> np.ndarray:
    """The mask of the rows (rows, features) after the warm-up; until then all features of a row are NaN."""
    # NaN if all are, without an array of as many truth values.
    return ~np.isnan(np.fmax.reduce(values, axis=1))


def row_blocks(rows: int) -> Iterator[slice]:
    """All rows in slices of BLOCK_ROWS."""
    return (slice(first, first + BLOCK_ROWS) for first in range(0, rows, BLOCK_ROWS))
