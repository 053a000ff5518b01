"""Windows over the feature table: views of one array, copied one batch at a time."""

from copy import copy

import numpy as np
import pandas as pd

from MLOps.errors import UserError
from MLOps.features.scaler import Scaler


class Windows:
    """The windows of `lookback_bars` rows that end at each row of a feature table.

    A window is whole if all its rows belong to one symbol and have features; `whole` masks the rows at which one ends.
    `run_bars` is, at each row, the number of the symbol's consecutive rows with features up to it.
    """

    def __init__(self, features: pd.DataFrame, names: tuple[str, ...], lookback_bars: int) -> None:
        self.values = np.ascontiguousarray(features[list(names)].to_numpy(dtype=np.float32))
        self.names = names
        # A row is valid after the warm-up; until then all of its features are NaN.
        valid = ~np.isnan(self.values).all(axis=1)
        symbols = features["symbol"].to_numpy()
        begins = np.concatenate([[True], symbols[1:] != symbols[:-1]])[: len(symbols)]
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
        values = self.values[np.cumsum(opened[:-1]) > 0]
        empty = [name for name, column in zip(self.names, values.T, strict=True) if not np.isfinite(column).any()]
        if empty:
            raise UserError(
                f"features: {', '.join(empty)} has no finite value in the training rows, so it cannot be imputed; "
                "remove it from features.names or add history"
            )
        return Scaler.fit(values)
