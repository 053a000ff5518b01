"""The clock of bars: the calendar that fits, the bars of a year, and when each bar closes."""

import numpy as np
import pandas as pd
import pytest

from MLOps.data.calendars import load_sessions
from MLOps.data.clock import Clock
from MLOps.errors import UserError
from tests.data.markets import session_stamps


def table(stamps: pd.DatetimeIndex, symbol: str = "A") -> pd.DataFrame:
    return pd.DataFrame({"timestamp": stamps.as_unit("us"), "symbol": symbol})


def around(freq: str, periods: int, begin: str = "00:00") -> pd.DataFrame:
    return table(pd.date_range(f"2023-01-05 {begin}", periods=periods, freq=freq, tz="UTC"))


def aligned(calendar: str, first: str, last: str) -> pd.DataFrame:
    """Hourly bars stamped at whole hours, as some vendors do, wherever the session begins."""
    sessions = load_sessions(calendar, np.datetime64(first), np.datetime64(last))
    kept = (sessions.begins >= np.datetime64(first)) & (sessions.ends < np.datetime64(last))
    hours = [
        np.arange(begin.astype("datetime64[h]"), end, np.timedelta64(1, "h"))
        for begin, end in zip(sessions.begins[kept], sessions.ends[kept], strict=True)
    ]
    return table(pd.DatetimeIndex(np.unique(np.concatenate(hours))).tz_localize("UTC"))


YEAR = ("2022-03-01", "2023-02-28")
# Bars; the calendar that must be guessed; bars a year.
KINDS = {
    "daily, New York": (table(session_stamps("XNYS", "2018-01-02", "2019-12-31")), "XNYS", 252),
    "daily, New York, a quarter": (table(session_stamps("XNYS", "2019-10-01", "2019-12-31")), "XNYS", 252),
    "hourly, New York": (table(session_stamps("XNYS", *YEAR, minutes=60)), "XNYS", 7 * 252),
    "hourly at whole hours, New York": (aligned("XNYS", *YEAR), "XNYS", 7 * 252),
    "five minutes, New York": (table(session_stamps("XNYS", *YEAR, minutes=5)), "XNYS", 78 * 252),
    "daily, London": (table(session_stamps("XLON", "2018-01-02", "2019-12-31")), "XLON", 253),
    "daily, Tokyo": (table(session_stamps("XTKS", "2018-01-04", "2019-12-27")), "XTKS", 245),
    "hourly with a break, Hong Kong": (aligned("XHKG", *YEAR), "XHKG", 6 * 246),
    "daily, around the clock": (around("D", 500), "24/7", 365),
    "hourly, around the clock": (around("h", 1000), "24/7", 8760),
    "four hours, off midnight": (around("4h", 900, "02:00"), "24/7", 2190),
    "five minutes, around the clock": (around("5min", 3000), "24/7", 105_120),
    "every working day": (table(pd.bdate_range("2018-01-01", periods=500, tz="UTC")), "24/5", 261),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_calendar_and_the_bars_of_a_year_follow_from_the_bars(kind: str) -> None:
    bars, calendar, bars_per_year = KINDS[kind]
    clock = Clock.of(bars, "auto")
    assert (clock.calendar, clock.bars_per_year) == (calendar, bars_per_year)
    assert clock.contradicted == ""
    named = Clock.of(bars, calendar)
    assert (named.spacing, named.bars_per_year) == (clock.spacing, bars_per_year)


def test_bars_that_are_missing_and_symbols_of_unlike_lives_change_nothing() -> None:
    stamps = pd.date_range("2023-01-05", periods=4000, freq="5min", tz="UTC")
    generator = np.random.default_rng(0)
    bars = pd.concat(
        [
            table(stamps[100:][generator.random(3900) > 0.05], "A"),
            table(stamps[:3000][generator.random(3000) > 0.05], "B"),
        ]
    )
    shuffled = pd.concat([bars, bars.head(5)]).sample(frac=1, random_state=0)
    for given in (bars, shuffled):
        clock = Clock.of(given, "auto")
        assert (clock.calendar, clock.bars_per_year) == ("24/7", 105_120)


def test_no_calendar_is_guessed_where_several_may_be_or_none_fits() -> None:
    # In two weeks without a holiday anywhere, exchanges look alike.
    fortnight = table(session_stamps("XLON", "2023-10-09", "2023-10-20"))
    assert Clock.of(fortnight, "auto").calendar is None
    weekly = table(pd.date_range("2015-01-01", periods=300, freq="7D", tz="UTC"))
    assert (Clock.of(weekly, "auto").calendar, Clock.of(weekly, "auto").bars_per_year) == (None, 52)
    # An exchange that is not among the candidates differs from all of them in a few days.
    stamps = session_stamps("XNYS", "2018-01-02", "2019-12-31")
    elsewhere = table(stamps.delete(np.random.default_rng(0).choice(len(stamps), 20, replace=False)))
    assert Clock.of(elsewhere, "auto").calendar is None
    assert Clock.of(elsewhere, "auto").bars_per_year == pytest.approx(242, abs=2)


def test_without_a_calendar_the_timestamps_of_any_symbol_count() -> None:
    days = table(session_stamps("XNYS", "2018-01-02", "2019-12-31"))
    assert Clock.of(days, None).bars_per_year == pytest.approx(252, abs=1)
    assert Clock.of(around("h", 500), None).bars_per_year == pytest.approx(8766, abs=1)
    assert Clock.of(around("h", 1), None).bars_per_year == 1


def test_a_number_of_bars_a_year_must_agree() -> None:
    hourly = around("h", 1000)
    assert Clock.of(hourly, "auto", 8766.0).bars_per_year == 8766
    with pytest.raises(UserError, match=r"data\.bars_per_year: 252 contradicts .* 8760 a year by 24/7; set auto"):
        Clock.of(hourly, "auto", 252.0)
    with pytest.raises(UserError, match=r"data\.bars_per_year: 365 contradicts .* 252 a year by XNYS"):
        Clock.of(KINDS["daily, New York"][0], "XNYS", 365.0)


def test_a_calendar_that_contradicts_the_bars_is_not_used() -> None:
    clock = Clock.of(around("h", 1000), "XNYS", 252.0)
    assert (clock.calendar, clock.contradicted, clock.better) == (None, "XNYS", "24/7")
    clock = Clock.of(KINDS["daily, New York"][0], "24/7")
    assert (clock.calendar, clock.contradicted, clock.better) == (None, "24/7", "XNYS")
    # A right calendar with many bars missing is right all the same.
    half = around("5min", 4000).iloc[np.random.default_rng(0).random(4000) > 0.4]
    assert (Clock.of(half, "24/7").calendar, Clock.of(half, "24/7").contradicted) == ("24/7", "")


def closes(stamps: list[str], calendar: str | None, spacing: pd.DataFrame) -> list[str]:
    clock = Clock.of(spacing, calendar)
    times = pd.Series(pd.DatetimeIndex(stamps).tz_localize("UTC").as_unit("us"))
    return [close.strftime("%m-%d %H:%M") for close in clock.closes(times)]


def test_a_bar_closes_with_its_session_or_after_its_spacing() -> None:
    daily, hourly = KINDS["daily, New York"][0], KINDS["hourly, New York"][0]
    # Winter, summer, and the day after Thanksgiving; a Saturday closes at its stamp.
    days = ["2019-01-15", "2019-07-15", "2019-11-29", "2019-01-19"]
    assert closes(days, "XNYS", daily) == ["01-15 21:00", "07-15 20:00", "11-29 18:00", "01-19 00:00"]
    assert closes(days, None, daily) == ["01-15 00:00", "07-15 00:00", "11-29 00:00", "01-19 00:00"]
    hours = ["2022-07-15 14:30", "2022-07-15 19:30", "2022-11-25 17:30", "2022-07-15 21:00"]
    # The last bar of a day is half an hour long; after the close, a bar is as long as it says.
    assert closes(hours, "XNYS", hourly) == ["07-15 15:30", "07-15 20:00", "11-25 18:00", "07-15 22:00"]
    # A morning ends with its break.
    assert closes(["2022-07-15 03:30"], "XHKG", KINDS["hourly with a break, Hong Kong"][0]) == ["07-15 04:00"]
    assert closes(["2023-01-05", "2023-01-05 23:00"], "24/7", around("h", 1000)) == ["01-05 01:00", "01-06 00:00"]
    assert closes(["2023-01-05"], "24/7", around("D", 400)) == ["01-06 00:00"]
    assert closes(["2023-01-05 02:00", "2023-01-05 22:00"], "24/7", KINDS["four hours, off midnight"][0]) == [
        "01-05 06:00",
        "01-06 02:00",
    ]


def test_a_calendar_that_is_none_or_ends_before_the_bars_is_told() -> None:
    with pytest.raises(UserError, match=r"no calendar is called 'XNYC'; did you mean 'XNYS'\?"):
        Clock.of(around("D", 30), "XNYC")
    with pytest.raises(UserError, match=r"XTKS covers 1997-01-01 to .*, but the bars span 1985"):
        Clock.of(table(pd.bdate_range("1985-01-01", periods=300, tz="UTC")), "XTKS")
