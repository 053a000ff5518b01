"""The clock of bars: calendar, spacing, close time of each bar, bars that are due, and bars per year.

A bar is stamped with the time it begins, a daily bar with its date; it belongs to the UTC day of its timestamp. Without
a calendar a daily bar counts as closed at its timestamp, the only time that is certainly not later than its close.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from MLOps.data.calendars import ALWAYS_OPEN, CANDIDATES, Sessions, load_sessions
from MLOps.errors import UserError

Auto = Literal["auto"]

DAILY = np.timedelta64(20, "h")  # bars with at least this spacing are daily
MICROSECOND = np.timedelta64(1, "us")
DAY = np.timedelta64(1, "D").astype("timedelta64[us]")
YEAR_DAYS = 365.25
# Least agreement with a calendar: of the bars that are due or present, the share that is both. Exchanges of one region
# differ in some ten days a year; intraday bars differ in their hours too, and more of them are missing in thin trading.
DAILY_FIT = 0.985
INTRADAY_FIT = 0.9
CONTRADICTION = 0.9  # a configured calendar with a lower agreement is wrong if another one fits
EXTRA = 0.1  # it is also wrong if more than this share of the bars is not due
FIT_YEARS = 5  # agreement is measured on the newest bars
SESSION_YEARS = 10  # sessions per year are averaged over this many years, because holidays move
TOLERANCE = 0.1  # largest relative difference between configured and derived bars per year


@dataclass(frozen=True)
class Clock:
    """Calendar and spacing of a table of bars; made by `Clock.of`.

    Attributes:
        calendar: a name in exchange_calendars, or None for the timestamps at which any symbol has a bar.
        spacing: time between the begins of neighbouring bars, timedelta64[us].
        offsets: time from the begin of trading to the first bar after it, below `spacing`; for the first part of a
            session and for the part after its break. Hourly bars from 14:00 on have an offset of half an hour if
            trading begins at 13:30.
        bars_per_year: annualises ratios.
        fits: agreement of each tried calendar with the bars, in [0, 1]; the configured one, then best first.
        contradicted: the configured calendar if it does not fit the bars and so is not used; else empty.
        better: a calendar that fits instead, if there is one.
    """

    calendar: str | None
    spacing: np.timedelta64
    offsets: tuple[np.timedelta64, np.timedelta64]
    bars_per_year: int
    fits: Mapping[str, float] = field(default_factory=dict)
    contradicted: str = ""
    better: str | None = None

    @classmethod
    def of(cls, bars: pd.DataFrame, calendar: str | None, bars_per_year: Auto | float = "auto") -> "Clock":
        """Derive the clock from bars whose timestamps are in UTC.

        Args:
            calendar: a name in exchange_calendars, "auto" for the candidate that fits, or None.
            bars_per_year: "auto", or a number within TOLERANCE of the derived one.

        Raises:
            UserError: there is no such calendar, it does not cover the bars, or `bars_per_year` contradicts them.
        """
        spacing = _spacing(bars)
        stamps = np.unique(_naive(bars["timestamp"]))
        fits: dict[str, float] = {}
        contradicted, better = "", None
        if calendar == "auto":
            calendar, fits = _guess(stamps, spacing)
        elif calendar is not None:
            agreement, extra = _agreement(_newest(stamps), spacing, calendar)
            if agreement < CONTRADICTION:
                better, fits = _guess(stamps, spacing)
                if better or extra > EXTRA:
                    contradicted, fits, calendar = calendar, {calendar: agreement} | fits, None
        offsets: tuple[np.timedelta64, np.timedelta64] = (np.timedelta64(0, "us"), np.timedelta64(0, "us"))
        if calendar is None:
            years = (stamps[-1] - stamps[0]) / DAY / YEAR_DAYS
            derived = max(round((len(stamps) - 1) / years), 1) if years > 0 else 1
        else:
            last = stamps[-1].astype("datetime64[D]")
            sessions = load_sessions(calendar, stamps[0].astype("datetime64[D]"), last)
            offsets = _offsets(stamps, sessions, spacing)
            derived = _sessions_per_year(calendar, last) * _bars_per_session(sessions, spacing, offsets)
        if bars_per_year != "auto" and not contradicted and abs(bars_per_year / derived - 1) > TOLERANCE:
            raise UserError(
                f"data.bars_per_year: {bars_per_year:g} contradicts the bars: a bar every {_words(spacing)} makes "
                f"{derived} a year by {calendar or 'their timestamps'}; set auto, or correct data.calendar"
            )
        number = derived if bars_per_year == "auto" else round(bars_per_year)
        return cls(calendar, spacing, offsets, number, fits, contradicted, better)

    @property
    def daily(self) -> bool:
        """Whether bars span a day or longer."""
        return bool(self.spacing >= DAILY)

    @property
    def words(self) -> str:
        """A one-line summary for messages."""
        return f"{self.calendar or 'no calendar'}, a bar every {_words(self.spacing)}, {self.bars_per_year} bars a year"

    def sessions(self, stamps: np.ndarray) -> Sessions | None:
        """The calendar's sessions from before the first of `stamps` (datetime64) to after the last."""
        if self.calendar is None:
            return None
        days = stamps.astype("datetime64[D]")
        return load_sessions(self.calendar, days.min(), days.max())

    def closes(self, timestamps: pd.Series) -> pd.Series:
        """Close times (UTC) of the bars stamped `timestamps` (UTC).

        A daily bar closes with its session; without a calendar, or on a day without a session, at its timestamp. An
        intraday bar closes `spacing` after its timestamp, or when trading ends if that is earlier.
        """
        stamps = _naive(timestamps)
        sessions = self.sessions(stamps)
        if self.daily:
            closes = stamps
            if sessions is not None:
                days = stamps.astype("datetime64[D]")
                place = np.minimum(np.searchsorted(sessions.days, days), len(sessions.days) - 1)
                closes = np.where(sessions.days[place] == days, sessions.closes[place], stamps)
        else:
            closes = stamps + self.spacing
            if sessions is not None:
                place = np.minimum(np.searchsorted(sessions.ends, stamps, side="right"), len(sessions.ends) - 1)
                trading = sessions.begins[place] < closes
                closes = np.where(trading, np.minimum(closes, sessions.ends[place]), closes)
        return pd.Series(closes, index=timestamps.index).dt.tz_localize("UTC")

    def due(self, first: np.datetime64, last: np.datetime64) -> np.ndarray:
        """Timestamps from `first` to `last` at which bars are due, (bars,) datetime64[us]; empty without a calendar.

        A bar may be stamped less than `width` later than the timestamp given here. Daily bars are due at midnight.
        """
        sessions = self.sessions(np.array([first, last]))
        if sessions is None:
            return np.empty(0, dtype="datetime64[us]")
        due = _due(sessions, self.spacing, self.offsets)
        return due[(due + self.width > first) & (due <= last)]

    @property
    def width(self) -> np.timedelta64:
        """Length of the interval after a due timestamp within which its bar may be stamped."""
        return DAY if self.daily else self.spacing

    def to_dict(self) -> dict[str, Any]:
        return {
            "calendar": self.calendar,
            "spacing_minutes": float(self.spacing / np.timedelta64(1, "m")),
            "bars_per_year": self.bars_per_year,
        }


def in_bins(stamps: np.ndarray, due: np.ndarray, width: np.timedelta64) -> np.ndarray:
    """Index of the due bar each timestamp belongs to: the latest one at or before it, within `width`; -1 for none."""
    place = np.searchsorted(due, stamps, side="right") - 1
    if not len(due):
        return place
    return np.where((place >= 0) & (stamps < due[np.maximum(place, 0)] + width), place, -1)


def _spacing(bars: pd.DataFrame) -> np.timedelta64:
    """The most frequent step between neighbouring bars of a symbol; a day if no symbol has two."""
    ordered = bars[["symbol", "timestamp"]].sort_values(["symbol", "timestamp"])
    steps = np.diff(_naive(ordered["timestamp"]))
    steps = steps[ordered["symbol"].eq(ordered["symbol"].shift()).to_numpy()[1:] & (steps > np.timedelta64(0))]
    if not len(steps):
        return DAY
    values, counts = np.unique(steps, return_counts=True)
    return values[np.argmax(counts)].astype("timedelta64[us]")


def _guess(stamps: np.ndarray, spacing: np.timedelta64) -> tuple[str | None, dict[str, float]]:
    """The candidate that agrees best with the timestamps, None if it does not fit; and the agreement of each.

    The calendar is None too if several candidates agree best and their sessions differ: the choice would be arbitrary.
    """
    fits = _fits(stamps, spacing)
    if not fits:
        return None, fits
    best, agreement = next(iter(fits.items()))
    equals = [name for name, fit in fits.items() if fit == agreement]
    span = stamps[0].astype("datetime64[D]"), stamps[-1].astype("datetime64[D]")
    one = load_sessions(best, *span)
    same = all(_same_within(one, load_sessions(name, *span), *span) for name in equals)
    return (best if same and agreement >= _good(spacing) else None), fits


def _good(spacing: np.timedelta64) -> float:
    return DAILY_FIT if spacing >= DAILY else INTRADAY_FIT


def _fits(stamps: np.ndarray, spacing: np.timedelta64) -> dict[str, float]:
    """Agreement by candidate, best first; candidates that do not cover the bars are left out."""
    stamps = _newest(stamps)
    fits = {}
    for name in CANDIDATES:
        try:
            fits[name], _ = _agreement(stamps, spacing, name)
        except UserError:
            continue
        # Only 24/7 has sessions on weekends, so no other candidate can fit better.
        weekend = pd.DatetimeIndex(stamps).day_of_week >= 5
        if name == ALWAYS_OPEN and weekend.any() and fits[name] >= _good(spacing):
            break
    return dict(sorted(fits.items(), key=lambda item: -item[1]))


def _newest(stamps: np.ndarray) -> np.ndarray:
    return stamps[stamps > stamps[-1] - FIT_YEARS * int(YEAR_DAYS) * DAY]


def _agreement(stamps: np.ndarray, spacing: np.timedelta64, calendar: str) -> tuple[float, float]:
    """Agreement (bars due and present / bars due or present), and the share of the present bars that are not due."""
    sessions = load_sessions(calendar, stamps[0].astype("datetime64[D]"), stamps[-1].astype("datetime64[D]"))
    width = DAY if spacing >= DAILY else spacing
    due = _due(sessions, spacing, _offsets(stamps, sessions, spacing))
    due = due[(due + width > stamps[0]) & (due <= stamps[-1])]
    bins = in_bins(stamps, due, width)
    extra = int((bins < 0).sum())
    return len(np.unique(bins[bins >= 0])) / max(len(due) + extra, 1), extra / len(stamps)


def _due(sessions: Sessions, spacing: np.timedelta64, offsets: tuple[np.timedelta64, np.timedelta64]) -> np.ndarray:
    if spacing >= DAILY:
        return sessions.days.astype("datetime64[us]")
    parts = []
    for begin, end, second in zip(sessions.begins, sessions.ends, _second(sessions), strict=True):
        offset = offsets[int(second)]
        # A bar that begins before the open contains the first trades.
        first = begin + offset - spacing if offset else begin
        parts.append(np.arange(first, end, spacing))
    return np.unique(np.concatenate(parts)).astype("datetime64[us]")


def _offsets(stamps: np.ndarray, sessions: Sessions, spacing: np.timedelta64) -> tuple[np.timedelta64, np.timedelta64]:
    """The most frequent offset in each part of a session."""
    place = np.searchsorted(sessions.begins, stamps, side="right") - 1
    place = np.maximum(place, 0)
    inside = (stamps >= sessions.begins[place]) & (stamps < sessions.ends[place])
    offset = (stamps - sessions.begins[place]) % spacing
    second = _second(sessions)[place]
    found = []
    for part in (False, True):
        values, counts = np.unique(offset[inside & (second == part)], return_counts=True)
        found.append(values[np.argmax(counts)] if len(values) else np.timedelta64(0, "us"))
    return found[0], found[1]


def _second(sessions: Sessions) -> np.ndarray:
    """Whether each interval of continuous trading follows a break."""
    return ~np.isin(sessions.begins, sessions.opens)


def _sessions_per_year(calendar: str, last: np.datetime64) -> int:
    """Mean number of sessions over the SESSION_YEARS up to the last bar, or as many as the calendar covers."""
    for years in range(SESSION_YEARS, 0, -1):
        first = last - np.timedelta64(round(years * YEAR_DAYS) - 1, "D")
        try:
            days = load_sessions(calendar, first, last).days
        except UserError:
            continue
        return round(int(((days >= first) & (days <= last)).sum()) / years)
    raise UserError(f"data.calendar: {calendar} does not cover the year before the last bar; set it to null")


def _bars_per_session(
    sessions: Sessions, spacing: np.timedelta64, offsets: tuple[np.timedelta64, np.timedelta64]
) -> int:
    """The most frequent number of bars in a session."""
    due = _due(sessions, spacing, offsets)
    starts = sessions.days.astype("datetime64[us]") if spacing >= DAILY else sessions.opens
    place = np.searchsorted(starts, due, side="right") - 1
    values, counts = np.unique(np.bincount(place[place >= 0]), return_counts=True)
    return int(values[np.argmax(counts)])


def _same_within(one: Sessions, other: Sessions, first: np.datetime64, last: np.datetime64) -> bool:
    """Whether both have the same opens and closes on the days from `first` to `last`."""
    kept = [(s.days >= first) & (s.days <= last) for s in (one, other)]
    return all(
        np.array_equal(getattr(one, name)[kept[0]], getattr(other, name)[kept[1]]) for name in ("opens", "closes")
    )


def _naive(timestamps: pd.Series) -> np.ndarray:
    return timestamps.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(dtype="datetime64[us]")


def _words(spacing: np.timedelta64) -> str:
    minutes = spacing / np.timedelta64(1, "m")
    for unit, size in (("day", 1440), ("hour", 60)):
        if minutes >= size and minutes % size == 0:
            count = int(minutes / size)
            return unit if count == 1 else f"{count} {unit}s"
    return "minute" if minutes == 1 else f"{minutes:g} minutes"
