"""What recorded decisions earned, once the bars after them are known."""

from pathlib import Path

import numpy as np
import pandas as pd

from MLOps.artifacts import write_table
from MLOps.errors import UserError

DECISIONS = "decisions-*.parquet"
OUTCOMES = "outcomes.parquet"
KEYS = ["symbol", "timestamp"]
# Of a decision, what its outcome is told with.
TOLD = ["time", "request", "account", "role", "version", "bundle", *KEYS, "equity", "action", "target_position"]


def read_decisions(folder: Path) -> pd.DataFrame:
    """All recorded decisions, in order of time.

    Raises:
        UserError: there are none.
    """
    files = sorted(folder.glob(DECISIONS))
    if not files:
        raise UserError(
            f"{folder}: expected a record of decisions, found none; set serving.record.folder, serve, and "
            "come back when requests were answered"
        )
    return pd.concat([pd.read_parquet(file) for file in files], ignore_index=True).sort_values("time", kind="stable")


def outcomes(decisions: pd.DataFrame, bars: pd.DataFrame) -> pd.DataFrame:
    """The decisions whose outcome is known, with the column `earned`.

    A decision at bar t fills at the open of t+1 and is held to the open of t+2, where the next one fills (with `fill:
    close`, from the close of t to that of t+1). What it earns is, as a fraction of the account's equity at t,

        (target · (exit - entry) - |order| · entry · cost) / equity

    with prices relative to the close of t, so that a split in between changes nothing. Interest on borrowed shares,
    fixed fees and exits within a bar are left out.

    Args:
        bars: in contract form; what they lack yet has no outcome.
    """
    by_symbol = bars.groupby("symbol")
    ahead = bars[KEYS].assign(
        at=bars["close"],
        open_1=by_symbol["open"].shift(-1),
        open_2=by_symbol["open"].shift(-2),
        close_1=by_symbol["close"].shift(-1),
    )
    known = decisions.merge(ahead, on=KEYS, how="left", validate="many_to_one")
    at_open = (known["fill"] == "next_open").to_numpy()
    entry = np.where(at_open, known["open_1"], known["at"]) / known["at"]
    leaving = np.where(at_open, known["open_2"], known["close_1"]) / known["at"]
    money = known["close"] / known["equity"]
    known["earned"] = known["target_position"] * money * (leaving - entry) - (
        known["order_shares"].abs() * money * entry * known["cost_bps"] / 1e4
    )
    return known.loc[np.isfinite(known["earned"]), [*TOLD, "earned"]].reset_index(drop=True)


def join_outcomes(folder: Path, bars: pd.DataFrame) -> tuple[int, pd.DataFrame]:
    """Write the outcomes of the recorded decisions in `folder` beside them; how many decisions there are, and those
    with an outcome."""
    decisions = read_decisions(folder)
    known = outcomes(decisions, bars)
    write_table(folder / OUTCOMES, known)
    return len(decisions), known
