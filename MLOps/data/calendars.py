"""The sessions of exchange calendars as arrays, and the candidates that are tried when no calendar is configured."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from MLOps.config.schema import suggest
from MLOps.errors import UserError

ALWAYS_OPEN = "24/7"
# In order of preference if several have the same sessions: around the clock, the Americas, Europe, Asia, futures.
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
    """Sessions in order of time: `days` (datetime64[D]), `opens` and `closes` (datetime64[us], UTC).

    `begins` and `ends` bound the intervals of continuous trading: a session with a break has two, and adjoining
    sessions (around the clock) share one. The sessions are complete from the day `first` to the day `last`.
    """

    first: np.datetime64
    last: np.datetime64
    days: np.ndarray
    opens: np.ndarray
    closes: np.ndarray
    begins: np.ndarray
    ends: np.ndarray


def load_sessions(calendar: str, first: np.datetime64, last: np.datetime64) -> Sessions:
    """The sessions of all calendar years from `first` to `last`, with MARGIN on both sides.

    Raises:
        UserError: there is no such calendar, or it does not cover the days from `first` to `last`.
    """
    # Whole years, so that similar spans share one cache entry; building a calendar is slow.
    sessions = _sessions(calendar, first.astype("datetime64[Y]"), last.astype("datetime64[Y]") + 1)
    if first < sessions.first or last > sessions.last:
        raise UserError(
            f"data.calendar: {calendar} covers {sessions.first} to {sessions.last}, but the bars span "
            f"{first.astype('datetime64[D]')} to {last.astype('datetime64[D]')}; set it to null"
        )
    return sessions


@lru_cache(maxsize=64)
def _sessions(calendar: str, first: np.datetime64, last: np.datetime64) -> Sessions:
    """The sessions from `first` to `last` with MARGIN on both sides, as far as the calendar reaches."""
    # Imported here because it is slow to import and most stages need no calendar.
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
                # The calendar covers none of the requested years; the caller sees that from the days it does cover.
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
