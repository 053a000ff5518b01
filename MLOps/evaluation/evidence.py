"""Out-of-sample returns of several windows in a row: the evidence of a walk-forward evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from MLOps.artifacts import read_table, write_table
from MLOps.statistics.returns import annual_growth, compounded, risk_ratios

RETURNS = "returns.parquet"


@dataclass(frozen=True)
class Evidence:
    """The returns of each policy per bar, in order of time.

    Attributes:
        timestamps: (n,) datetime64, UTC without zone, of the closes at which the bars end.
        windows: (n,) int64, the number of the window of each bar, the earliest is 0.
        returns: (n,) by policy.
    """

    timestamps: np.ndarray
    windows: np.ndarray
    returns: dict[str, np.ndarray]
    bars_per_year: int

    @classmethod
    def join(cls, windows: Sequence[pd.DataFrame], bars_per_year: int) -> "Evidence":
        """The evidence of windows in order of time.

        Args:
            windows: of each the `timestamp` (UTC) and the returns of the policies, which are the same in all.
        """
        joined = pd.concat([table.assign(window=number) for number, table in enumerate(windows)], ignore_index=True)
        return cls._of(joined, bars_per_year)

    @classmethod
    def read(cls, folder: Path, bars_per_year: int) -> "Evidence":
        """The evidence that `write` left in `folder`."""
        return cls._of(read_table(folder / RETURNS), bars_per_year)

    @classmethod
    def _of(cls, table: pd.DataFrame, bars_per_year: int) -> "Evidence":
        return cls(
            table["timestamp"].dt.tz_localize(None).to_numpy(),
            table["window"].to_numpy(np.int64),
            {name: table[name].to_numpy(float) for name in table.columns if name not in ("timestamp", "window")},
            bars_per_year,
        )

    def write(self, folder: Path) -> None:
        """Write the columns `timestamp` (UTC), `window` and one for each policy."""
        timestamps = pd.DatetimeIndex(self.timestamps).tz_localize("UTC")
        write_table(folder / RETURNS, pd.DataFrame({"timestamp": timestamps, "window": self.windows, **self.returns}))

    def metrics(self, windows: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
        """The metrics of each policy over all windows, named as those of `performance`.

        Those of return and risk follow from the joined returns. Turnover and exposure are the windows' means, weighted
        by their bars, and costs the sum.

        Args:
            windows: `performance` by policy of each window.
        """
        bars = np.bincount(self.windows, minlength=len(windows))
        metrics = {}
        for name, returns in self.returns.items():
            equity = compounded(returns)
            own = pd.DataFrame([window[name] for window in windows])
            metrics[name] = {
                "total_return": float(equity[-1]) - 1,
                "cagr": annual_growth(equity, self.bars_per_year),
                "volatility": float(returns.std(ddof=1) * np.sqrt(self.bars_per_year)),
                **risk_ratios(returns, equity, self.bars_per_year),
                "turnover": float(np.average(own["turnover"], weights=bars)),
                "exposure": float(np.average(own["exposure"], weights=bars)),
                "costs": float(own["costs"].sum()),
            }
        return metrics
