"""Compare bars with their calendar: bars outside sessions, sessions shifted by an hour, outages of all symbols."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from MLOps.data.clock import Clock, in_bins

HOUR = np.timedelta64(1, "h")


@dataclass(frozen=True)
class SessionCheck:
    """Differences between bars and their calendar.

    Attributes:
        extra: mask of bars on a day without a session.
        outside: mask of intraday bars before the open, or at or after the (early) close.
        shifted: mask of intraday bars of a session that is off by one hour as a whole: daylight saving time.
        outages: the (symbol, timestamp) of due bars between a symbol's first and last that no symbol has.
    """

    extra: np.ndarray
    outside: np.ndarray
    shifted: np.ndarray
    outages: pd.DataFrame


def check_sessions(bars: pd.DataFrame, clock: Clock) -> SessionCheck:
    """Compare bars in contract form with the calendar of their clock; without a calendar nothing is found."""
    stamps = bars["timestamp"].dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
    nothing = np.zeros(len(bars), dtype=bool)
    sessions = clock.sessions(stamps)
    if sessions is None:
        return SessionCheck(nothing, nothing, nothing, pd.DataFrame({"symbol": [], "timestamp": []}))
    due = clock.due(stamps.min(), stamps.max())
    bins = in_bins(stamps, due, clock.width)
    outages = _outages(bars, stamps, np.delete(due, np.unique(bins[bins >= 0])))
    unexpected = bins < 0
    days = stamps.astype("datetime64[D]")
    extra = unexpected & ~np.isin(days, sessions.days)
    if clock.daily:
        return SessionCheck(extra, nothing, nothing, outages)
    same_day = np.minimum(np.searchsorted(sessions.days, days), len(sessions.days) - 1)
    outside = unexpected & ~extra
    shifted = _shifted(bars, stamps, sessions.opens[same_day], outside)
    return SessionCheck(extra, outside & ~shifted, shifted, outages)


def _shifted(bars: pd.DataFrame, stamps: np.ndarray, opens: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """The bars of a symbol's day that begins exactly one hour before or after the session and extends outside it."""
    table = pd.DataFrame(
        {"symbol": bars["symbol"].to_numpy(), "open": opens, "stamp": stamps, "outside": outside}, index=bars.index
    )
    own = table.groupby(["symbol", "open"])
    begin = own["stamp"].transform("min").to_numpy()
    leaves = own["outside"].transform("any").to_numpy()
    return leaves & ((begin == opens - HOUR) | (begin == opens + HOUR))


def _outages(bars: pd.DataFrame, stamps: np.ndarray, silent: np.ndarray) -> pd.DataFrame:
    tables = [pd.DataFrame({"symbol": [], "timestamp": []})]
    for symbol, rows in bars.groupby("symbol", sort=True).indices.items():
        own = stamps[rows]
        gone = silent[(silent >= own.min()) & (silent <= own.max())]
        tables.append(pd.DataFrame({"symbol": symbol, "timestamp": pd.DatetimeIndex(gone).tz_localize("UTC")}))
    return pd.concat(tables[1:] or tables, ignore_index=True)
