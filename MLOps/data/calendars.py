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
    (around the clock) have one together.
    """

    days: np.ndarray
    opens: np.ndarray
    closes: np.ndarray
    begins: np.ndarray
    ends: np.ndarray


@lru_cache(maxsize=64)
def load_sessions(calendar: str, first: np.datetime64, last: np.datetime64) -> Sessions:
    """The sessions from MARGIN before the day `first` to MARGIN after the day `last`, as far as the calendar knows.

    Raises:
        UserError: there is no such calendar, or it does not reach from the first to the last day.
    """
    # Slow to import, for the stage that looks at calendars.
    import exchange_calendars

    first_day, last_day = pd.Timestamp(first), pd.Timestamp(last)
    start, end = first_day - MARGIN, last_day + MARGIN
    try:
        try:
            exchange = exchange_calendars.get_calendar(calendar, start=start, end=end)
        except ValueError:
            known = exchange_calendars.get_calendar(calendar)
            start, end = max(start, known.bound_min() or start), min(end, known.bound_max() or end)
            if first_day < start or end < last_day:
                raise
            exchange = exchange_calendars.get_calendar(calendar, start=start, end=end)
    except exchange_calendars.errors.InvalidCalendarName:
        names = exchange_calendars.get_calendar_names()
        near = [name for name in names if name[:2] == calendar[:2].upper()] or list(CANDIDATES)
        raise UserError(f"data.calendar: no calendar is called {calendar!r}; {suggest(calendar, near)}") from None
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"data.calendar: {calendar} does not cover the bars from {first_day.date()} to {last_day.date()}: "
            f"{reason}; set it to null"
        ) from None
    opens, closes = _utc(exchange.opens), _utc(exchange.closes)
    break_starts, break_ends = _utc(exchange.break_starts), _utc(exchange.break_ends)
    with_break = ~np.isnat(break_starts)
    begins = np.sort(np.concatenate([opens, break_ends[with_break]]))
    ends = np.sort(np.concatenate([closes, break_starts[with_break]]))
    apart = begins[1:] > ends[:-1]
    return Sessions(
        days=exchange.sessions.to_numpy(dtype="datetime64[D]"),
        opens=opens,
        closes=closes,
        begins=begins[np.concatenate([[True], apart])],
        ends=ends[np.concatenate([apart, [True]])],
    )


def _utc(times: pd.Series) -> np.ndarray:
    return pd.DatetimeIndex(times).tz_localize(None).to_numpy(dtype="datetime64[us]")
