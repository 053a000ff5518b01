"""What recorded decisions earned, once the bars after them are known."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from MLOps.artifacts import read_table, write_table
from MLOps.data.bars import KEYS
from MLOps.deployment.record import FILES
from MLOps.errors import UserError

OUTCOMES = "outcomes.parquet"
# Of a decision, what its outcome is told with.
TOLD = ["time", "request", "account", "role", "version", "bundle", *KEYS, "portfolio", "equity", "action"]
TOLD += ["target_position", "earned"]
IDENTITY = ["request", "symbol", "version", "role", "time"]


@dataclass(frozen=True, eq=False)
class Joined:
    """All outcomes known by now, and how many decisions are on record.

    Attributes:
        outcomes: also of decisions whose record is deleted.
        decisions: on record.
        waiting: of these, for later bars.
        too_late: of these, made when the position would have been left already.
    """

    outcomes: pd.DataFrame
    decisions: int
    waiting: int
    too_late: int


def read_decisions(folder: Path) -> pd.DataFrame:
    """All recorded decisions, in order of time; a server may delete old files meanwhile.

    Raises:
        UserError: there are none, or a file is damaged.
    """
    tables = []
    for file in sorted(folder.glob(FILES)):
        try:
            tables.append(read_table(file))
        except UserError:
            if file.exists():
                raise UserError(f"{file}: not readable as recorded decisions, which are lost; move it away") from None
    if not tables:
        raise UserError(
            f"{folder}: expected a record of decisions, found none; set serving.record.folder, serve, and "
            "come back when requests were answered"
        )
    return pd.concat(tables, ignore_index=True).sort_values("time", kind="stable")


def outcomes(decisions: pd.DataFrame, bars: pd.DataFrame) -> pd.DataFrame:
    """The decisions whose outcome is known, with the column `earned`.

    A decision at bar t fills at the open of t+1 and is held to the open of t+2, where the next one fills (with `fill:
    close`, from the close of t to that of t+1). What it earns is, as a fraction of the account's equity at t,

        (target · (exit - entry) - |order| · entry · cost) / equity

    with prices relative to the close of t, so that a split in between changes nothing. Interest on borrowed shares,
    fixed fees and exits within a bar are left out.

    A decision has an outcome only if it was made in time: before the timestamp of bar t+2. A request that replays old
    bars is answered with a decision that nobody could have followed.

    Args:
        bars: in contract form; a decision without the two bars after it has no outcome yet.
    """
    return _in_time(_ended(decisions, bars))


def _ended(decisions: pd.DataFrame, bars: pd.DataFrame) -> pd.DataFrame:
    """The decisions with two bars after them, with the columns `earned` and `is_in_time`."""
    by_symbol = bars.groupby("symbol")
    ahead = bars[list(KEYS)].assign(
        at=bars["close"],
        open_1=by_symbol["open"].shift(-1),
        open_2=by_symbol["open"].shift(-2),
        close_1=by_symbol["close"].shift(-1),
        # The close of t+1 is known at about this time too.
        too_late=by_symbol["timestamp"].shift(-2),
    )
    known = decisions.merge(ahead, on=list(KEYS), how="left", validate="many_to_one")
    at_open = (known["fill"] == "next_open").to_numpy()
    entry = np.where(at_open, known["open_1"], known["at"]) / known["at"]
    leaving = np.where(at_open, known["open_2"], known["close_1"]) / known["at"]
    money = known["close"] / known["equity"]
    known["earned"] = known["target_position"] * money * (leaving - entry) - (
        known["order_shares"].abs() * money * entry * known["cost_bps"] / 1e4
    )
    known["is_in_time"] = known["time"] < known["too_late"]
    return known[np.isfinite(known["earned"]) & known["too_late"].notna()]


def _in_time(ended: pd.DataFrame) -> pd.DataFrame:
    return ended.loc[ended["is_in_time"], TOLD].reset_index(drop=True)


def join_outcomes(folder: Path, bars: pd.DataFrame) -> Joined:
    """Write the outcomes of the recorded decisions in `folder` beside them; those written before are kept."""
    decisions, file = read_decisions(folder), folder / OUTCOMES
    ended = _ended(decisions, bars)
    known = _in_time(ended)
    if file.is_file():
        known = pd.concat([read_table(file), known]).drop_duplicates(IDENTITY)
    known = known.sort_values("time", kind="stable", ignore_index=True)
    write_table(file, known)
    return Joined(known, len(decisions), len(decisions) - len(ended), int((~ended["is_in_time"]).sum()))
