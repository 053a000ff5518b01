"""Exchange calendars: which bars a symbol should have, which it should not, and which are an hour off."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from MLOps.config.schema import suggest
from MLOps.errors import UserError

DAILY_STEP_H = 20.0  # bars that far apart, or farther, are days
HOUR = np.timedelta64(1, "h")


@dataclass(frozen=True)
class SessionCheck:
    """What a calendar says of bars.

    Attributes:
        extra: mask of bars on a day without a session.
        outside: mask of intraday bars before the open, or at or after the (early) close.
        shifted: mask of intraday bars of a session that lies one hour off as a whole: daylight saving time.
        missing: the (symbol, timestamp) of bars that the calendar has and the symbol, within its own life, has not.
    """

    extra: np.ndarray
    outside: np.ndarray
    shifted: np.ndarray
    missing: pd.DataFrame


def check_sessions(bars: pd.DataFrame, calendar: str) -> SessionCheck:
    """Hold bars in contract form against an exchange's calendar.

    A daily bar belongs to the day of its timestamp in UTC. An intraday bar is stamped with its begin; how far apart
    bars are is taken from the table.

    Args:
        calendar: a name that exchange_calendars knows, as XNYS or 24/7.

    Raises:
        UserError: there is no such calendar, or it does not reach as far as the bars.
    """
    # Half a second to import, for the stage that looks at calendars.
    import exchange_calendars

    stamps = bars["timestamp"].dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
    days = stamps.astype("datetime64[D]")
    try:
        exchange = exchange_calendars.get_calendar(
            calendar,
            start=pd.Timestamp(days.min()),
            end=max(pd.Timestamp(days.max()), pd.Timestamp(days.min()) + pd.Timedelta(days=7)),
        )
    except exchange_calendars.errors.InvalidCalendarName:
        known = exchange_calendars.get_calendar_names()
        near = [name for name in known if name[:2] == calendar[:2].upper()] or ["XNYS", "XLON", "24/7"]
        raise UserError(f"data.calendar: no calendar is called {calendar!r}; {suggest(calendar, near)}") from None
    except ValueError as error:
        raise UserError(f"data.calendar: {calendar}: {' '.join(str(error).split())[:200]}; set it to null") from None
    sessions = exchange.sessions.to_numpy(dtype="datetime64[D]")
    extra = ~np.isin(days, sessions)
    nothing = np.zeros(len(bars), dtype=bool)
    follows = bars["symbol"].eq(bars["symbol"].shift()).to_numpy()
    step = np.median(np.diff(stamps)[follows[1:]]) if follows.any() else np.timedelta64(1, "D")
    if step >= np.timedelta64(int(DAILY_STEP_H * 60), "m"):
        return SessionCheck(extra, nothing, nothing, _missing(bars, days, sessions.astype("datetime64[us]")))
    opens = exchange.opens.dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
    closes = exchange.closes.dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
    # A session may begin on the day before, in UTC: a bar's session is the last one to open, or the next if none has.
    place = np.clip(np.searchsorted(opens, stamps, side="right") - 1, 0, len(opens) - 1)
    extra &= ~((stamps >= opens[place]) & (stamps < closes[place]))
    same_day = np.clip(np.searchsorted(sessions, days), 0, len(sessions) - 1)
    outside = ~extra & ((stamps < opens[place]) | (stamps >= closes[place]))
    shifted = _shifted(bars, stamps, opens[same_day], outside)
    expected = np.concatenate([np.arange(begin, end, step) for begin, end in zip(opens, closes, strict=True)])
    return SessionCheck(extra, outside & ~shifted, shifted, _missing(bars, stamps, expected))


def _shifted(bars: pd.DataFrame, stamps: np.ndarray, opens: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """The bars of a symbol's day that begins exactly one hour before or after its session, and leaves it."""
    table = pd.DataFrame(
        {"symbol": bars["symbol"].to_numpy(), "open": opens, "stamp": stamps, "outside": outside}, index=bars.index
    )
    own = table.groupby(["symbol", "open"])
    begin = own["stamp"].transform("min").to_numpy()
    late = (begin == opens + HOUR) & own["outside"].transform("any").to_numpy()
    return (begin == opens - HOUR) | late


def _missing(bars: pd.DataFrame, stamps: np.ndarray, expected: np.ndarray) -> pd.DataFrame:
    gaps = []
    for symbol, rows in bars.groupby("symbol", sort=True).indices.items():
        own = stamps[rows]
        life = expected[(expected.astype(own.dtype) >= own.min()) & (expected.astype(own.dtype) <= own.max())]
        gone = life[~np.isin(life.astype(own.dtype), own)]
        gaps.append(pd.DataFrame({"symbol": symbol, "timestamp": pd.DatetimeIndex(gone).tz_localize("UTC")}))
    return pd.concat(gaps, ignore_index=True)
