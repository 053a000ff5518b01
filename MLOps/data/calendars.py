"""The sessions of exchange calendars, as arrays; and which calendars are tried when none is named."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from MLOps.config.schema import suggest
from MLOps.errors import UserError

ALWAYS_OPEN = "24/7"
# In order of preference where several have the same sessions: around the clock, the Americas, Europe, Asia, futures.
CANDIDATES = (
    ALWAYS_OPEN,
    "24/5",
    "XNYS",
    "XTSE",
    "BVMF",
    "XLON",
    "XETR",
    "XPAR",
    "XSWX",
    "XTKS",
    "XHKG",
    "XSHG",
    "XASX",
    "XBOM",
    "CMES",
)
MARGIN = pd.Timedelta(days=14)  # longer than any run of holidays, so that a session lies before and after every bar


@dataclass(frozen=True)
class Sessions:
    """The sessions of a span, in order: `days` (datetime64[D]), `opens` and `closes` (datetime64[us], UTC).

    `begins` and `ends` bound the times of continuous trading: a session with a break has two, and sessions that adjoin
    (around the clock) have one together. From the day `first` to the day `last` they are complete.
    """

    first: np.datetime64
    last: np.datetime64
    days: np.ndarray
    opens: np.ndarray
    closes: np.ndarray
    begins: np.ndarray
    ends: np.ndarray


def load_sessions(calendar: str, first: np.datetime64, last: np.datetime64) -> Sessions:
    """The sessions of the years from that of the day `first` to that of `last`, and MARGIN on both sides.

    Raises:
        UserError: there is no such calendar, or it does not reach from the first to the last day.
    """
    # Whole years, so that spans that are alike share what takes long to compute.
    sessions = _sessions(calendar, first.astype("datetime64[Y]"), last.astype("datetime64[Y]") + 1)
    if first < sessions.first or last > sessions.last:
        raise UserError(
            f"data.calendar: {calendar} knows the days from {sessions.first} to {sessions.last}, the bars are from "
            f"{first.astype('datetime64[D]')} to {last.astype('datetime64[D]')}; set it to null"
        )
    return sessions


@lru_cache(maxsize=64)
def _sessions(calendar: str, first: np.datetime64, last: np.datetime64) -> Sessions:
    """Those from `first` to `last` with MARGIN on both sides, as far as the calendar knows."""
    # Slow to import, for the stage that looks at calendars.
    import exchange_calendars

    start, end = pd.Timestamp(first) - MARGIN, pd.Timestamp(last) + MARGIN
    try:
        try:
            exchange = exchange_calendars.get_calendar(calendar, start=start, end=end)
        except ValueError:
            known = exchange_calendars.get_calendar(calendar)
            start, end = max(start, known.bound_min() or start), min(end, known.bound_max() or end)
            if start < end:
                exchange = exchange_calendars.get_calendar(calendar, start=start, end=end)
            else:
                # None of the years wanted is known: those that are tell the caller so.
                exchange = known
                start, end = known.bound_min() or known.first_session, known.bound_max() or known.last_session
    except exchange_calendars.errors.InvalidCalendarName:
        names = exchange_calendars.get_calendar_names()
        near = [name for name in names if name[:2] == calendar[:2].upper()] or list(CANDIDATES)
        raise UserError(f"data.calendar: no calendar is called {calendar!r}; {suggest(calendar, near)}") from None
    opens, closes = _utc(exchange.opens), _utc(exchange.closes)
    break_starts, break_ends = _utc(exchange.break_starts), _utc(exchange.break_ends)
    with_break = ~np.isnat(break_starts)
    begins = np.sort(np.concatenate([opens, break_ends[with_break]]))
    ends = np.sort(np.concatenate([closes, break_starts[with_break]]))
    apart = begins[1:] > ends[:-1]
    return Sessions(
        first=np.datetime64(start, "D"),
        last=np.datetime64(end, "D"),
        days=exchange.sessions.to_numpy(dtype="datetime64[D]"),
        opens=opens,
        closes=closes,
        begins=begins[np.concatenate([[True], apart])],
        ends=ends[np.concatenate([apart, [True]])],
    )


def _utc(times: pd.Series) -> np.ndarray:
    return pd.DatetimeIndex(times).tz_localize(None).to_numpy(dtype="datetime64[us]")
