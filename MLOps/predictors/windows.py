"""Windows over the feature table: views of one array, copied only a batch at a time."""

import numpy as np
import pandas as pd

from MLOps.errors import UserError


class Windows:
    """The windows of `lookback_bars` rows that end at each row of a feature table.

    A window is whole when all its rows belong to one symbol and hold features; `whole` masks the rows that end one.
    """

    def __init__(self, features: pd.DataFrame, names: tuple[str, ...], lookback_bars: int) -> None:
        self.values = np.ascontiguousarray(features[list(names)].to_numpy(dtype=np.float32))
        self.names = names
        self.lookback_bars = lookback_bars
        # A row is valid when its warm-up is over: the pipeline leaves whole rows NaN until then.
        valid = ~np.isnan(self.values).all(axis=1)
        starts = (features["symbol"] != features["symbol"].shift()).to_numpy() | ~valid
        row = np.arange(len(features))
        last_start = np.maximum.accumulate(np.where(starts, row, 0))
        # After an invalid row the run begins one row later.
        run = row - last_start + valid[last_start]
        self.whole = valid & (run >= lookback_bars)
        if not self.whole.any():
            longest = int(features.groupby("symbol").size().max()) if len(features) else 0
            raise UserError(
                f"predictors: a look-back of {lookback_bars} bars needs that many rows of features after the warm-up; "
                f"the longest symbol has {longest} bars; shorten lookback_bars or give more history"
            )

    def ending_at(self, rows: np.ndarray) -> np.ndarray:
        """Copies of the windows that end at `rows`: (n, lookback_bars, features), oldest bar first."""
        return self.values[rows[:, None] + np.arange(1 - self.lookback_bars, 1)]
