"""Sentiment is known from its publication and its delay on, and not a bar earlier."""

from datetime import date, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from MLOps.config.data import SentimentConfig
from MLOps.data.bars import KEYS, SENTIMENT
from MLOps.data.clock import Clock
from MLOps.data.sentiment import bar_closes, join_sentiment, read_items
from MLOps.data.sources.sample import bundled_bars
from MLOps.errors import UserError
from MLOps.features.causality import draw_cutoffs, find_leaks
from tests.data.markets import session_stamps


def joined(bars: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Bars close at 20:00; what is published counts an hour later."""
    return join_sentiment(bars, read_items(path), bars["timestamp"] + pd.Timedelta(hours=20), delay_minutes=60)


def written(folder: Path, *rows: str, header: str = "published,symbol,score") -> Path:
    path = folder / "items.csv"
    path.write_text("\n".join([header, *rows]))
    return path


def test_an_item_belongs_to_the_first_bar_that_closes_once_it_is_known(bars: pd.DataFrame, tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "2024-01-03T19:00:00Z,AAA,0.5",  # known at 20:00 of the 3rd: just in time
        "2024-01-03T19:00:01Z,AAA,1.0",  # a second too late
        "2024-01-05T23:30:00-05:00,AAA,-1.0",  # Saturday the 6th in UTC: Monday's bar
        "2024-01-06T12:00:00Z,AAA,0.0",
        "2024-01-08T10:00:00Z,CCC,1.0",  # nobody's
        "2030-01-01T00:00:00Z,BBB,1.0",  # after the last bar
        "2020-01-01T00:00:00Z,BBB,1.0",  # before the first
    )
    table = joined(bars, path).set_index(["symbol", "timestamp"])[list(SENTIMENT)]
    spoken = table[table["sentiment_items"] > 0].reset_index()
    assert spoken["symbol"].tolist() == ["AAA"] * 3
    assert spoken["timestamp"].dt.day.tolist() == [3, 4, 8]
    assert spoken["sentiment"].tolist() == [0.5, 1.0, -0.5]
    assert spoken["sentiment_items"].tolist() == [1, 1, 2]


def test_the_join_is_causal(bars: pd.DataFrame, tmp_path: Path) -> None:
    stamps = pd.date_range("2024-01-02", periods=500, freq="97min", tz="UTC")
    path = written(tmp_path, *(f"{stamp.isoformat()},AAA,{i % 7 / 7:.3f}" for i, stamp in enumerate(stamps)))
    assert find_leaks(lambda table: joined(table, path)[["timestamp", "symbol", *SENTIMENT]], bars,
                      draw_cutoffs(bars, 20)) == []  # fmt: skip


def test_later_items_change_no_earlier_bar(bars: pd.DataFrame, tmp_path: Path) -> None:
    rows = [f"2024-01-{day:02}T12:00:00Z,AAA,0.5" for day in range(3, 29)]
    whole = joined(bars, written(tmp_path, *rows))
    known = joined(bars, written(tmp_path, *rows[:8]))
    early = bars["timestamp"] <= "2024-01-10"
    pd.testing.assert_frame_equal(whole[early], known[early])


def test_headlines_are_scored() -> None:
    table = joined(bundled_bars(), Path("data/sample/headlines.csv"))
    spoken = table[table["sentiment_items"] > 0].set_index(["symbol", "timestamp"])["sentiment"]
    assert len(spoken) >= 18
    assert spoken.loc["AAPL"]["2007-01-09"] > 0.3
    assert spoken.loc["AAPL"]["2008-09-30"] < -0.3


@pytest.mark.parametrize(
    ("header", "row", "sentence"),
    [
        ("published,symbol,score", "2024-01-03T19:00:00Z,AAA,3", r"scores must lie in \[-1, 1\]; row 0 has 3"),
        ("published,score", "2024-01-03T19:00:00Z,1", "symbol is missing"),
        ("published,symbol", "2024-01-03T19:00:00Z,AAA", "expected a column score or headline"),
        ("published,symbol,score", "soon,AAA,0.1", "published must be ISO 8601 times"),
        ("published,symbol,score", "2024-01-03T19:00:00Z,,0.1", "symbol must be given; 1 rows have none, first row 0"),
    ],
)
def test_what_cannot_be_joined_is_told(header: str, row: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        read_items(written(tmp_path, row, header=header))


@pytest.mark.parametrize("name", ["NA", "NULL", "nan", "None"])
def test_words_for_nothing_are_tickers_like_others(name: str, bars: pd.DataFrame, tmp_path: Path) -> None:
    path = written(tmp_path, f"2024-01-03T19:00:00Z,{name},0.5")
    table = joined(bars.replace({"symbol": {"AAA": name}}), path)
    assert table.loc[table["sentiment_items"] > 0, "symbol"].tolist() == [name]


NEW_YORK = ZoneInfo("America/New_York")
EARLY = {date(2019, 7, 3), date(2019, 11, 29), date(2019, 12, 24)}  # New York closes at 13:00


def new_york_close(day: pd.Timestamp) -> datetime:
    return datetime.combine(day.date(), time(13 if day.date() in EARLY else 16), NEW_YORK)


def hourly_in_new_york(stamp: pd.Timestamp) -> pd.Timestamp:
    return min(stamp + pd.Timedelta(hours=1), pd.Timestamp(new_york_close(stamp)).tz_convert("UTC"))


# Stamps, the calendar, and when the bar of a stamp truly closes, told without the calendar's package.
SPACINGS = {
    "daily, New York": (session_stamps("XNYS", "2019-01-02", "2019-12-31"), "XNYS", new_york_close),
    "hourly, New York": (session_stamps("XNYS", "2019-06-20", "2019-12-31", 60), "XNYS", hourly_in_new_york),
    "hourly, around the clock": (
        pd.date_range("2023-03-01", periods=800, freq="h", tz="UTC"),
        "24/7",
        lambda stamp: stamp + pd.Timedelta(hours=1),
    ),
    "five minutes": (
        pd.date_range("2023-03-01", periods=800, freq="5min", tz="UTC"),
        "24/7",
        lambda stamp: stamp + pd.Timedelta(minutes=5),
    ),
    "daily, around the clock": (
        pd.date_range("2023-03-01", periods=300, freq="D", tz="UTC"),
        "24/7",
        lambda stamp: stamp + pd.Timedelta(days=1),
    ),
}


def timed(spacing: str) -> tuple[pd.DataFrame, Clock, pd.Series]:
    """Bars' keys, their clock, and when they truly close."""
    stamps, calendar, close = SPACINGS[spacing]
    bars = pd.DataFrame({"timestamp": stamps.as_unit("us"), "symbol": "A"})
    true = pd.to_datetime(bars["timestamp"].map(close), utc=True).astype("datetime64[us, UTC]")
    return bars, Clock.of(bars, calendar), true


def leaks_of(bars: pd.DataFrame, closes: pd.Series, true: pd.Series) -> list[object]:
    """What the prober finds in the join by `closes` when items published after a bar's true close are corrupted."""
    generator = np.random.default_rng(5)
    span = (bars["timestamp"].iloc[-1] - bars["timestamp"].iloc[0]) / pd.Timedelta(seconds=1)
    seconds = np.sort(generator.uniform(0, span, 4 * len(bars)))
    items = pd.DataFrame(
        {
            "published": bars["timestamp"].iloc[0] + pd.to_timedelta(seconds.round(), unit="s"),
            "symbol": "A",
            "score": generator.uniform(-1, 1, len(seconds)),
        }
    )

    def join(known: pd.DataFrame) -> pd.DataFrame:
        table = join_sentiment(bars, known, closes, delay_minutes=0)
        return table.assign(close=true)[[*KEYS, *SENTIMENT, "close"]]

    cutoffs = true.iloc[generator.choice(len(true) - 1, 10, replace=False)].sort_values()
    return list(find_leaks(join, items, cutoffs, known_at="close", happened_at="published"))


@pytest.mark.parametrize("spacing", SPACINGS)
def test_nothing_published_after_the_close_is_known_at_the_bar(spacing: str) -> None:
    bars, clock, true = timed(spacing)
    closes = clock.closes(bars["timestamp"])
    assert (closes == true).all()
    assert leaks_of(bars, closes, true) == []
    # One time after every stamp, whatever the spacing, is what the prober must find.
    assert leaks_of(bars, bars["timestamp"] + pd.Timedelta(minutes=1500), true)


def test_a_daily_bar_without_a_calendar_knows_what_was_published_before_its_stamp() -> None:
    bars, _, true = timed("daily, New York")
    closes = Clock.of(bars, None).closes(bars["timestamp"])
    assert (closes == bars["timestamp"]).all()
    assert leaks_of(bars, closes, true) == []


@pytest.mark.parametrize("spacing", ["hourly, around the clock", "five minutes"])
def test_what_is_published_on_a_random_walk_foretells_no_return(spacing: str) -> None:
    """Items tell a bar's return half a spacing after its close; they belong to the next bar, and tell no later one."""
    bars, clock, true = timed(spacing)
    moves = pd.Series(np.random.default_rng(0).standard_normal(len(bars)))
    half = pd.Timedelta(clock.spacing) / 2
    items = pd.DataFrame({"published": true + half, "symbol": "A", "score": np.tanh(moves)})

    def correlation_ahead(closes: pd.Series, ahead: int) -> float:
        sentiment = join_sentiment(bars, items, closes, delay_minutes=0)["sentiment"]
        return float(sentiment.corr(moves.shift(-ahead)))

    closes = clock.closes(bars["timestamp"])
    assert correlation_ahead(closes, -1) > 0.9
    assert max(abs(correlation_ahead(closes, ahead)) for ahead in range(1, 40)) < 4.5 / np.sqrt(len(bars))
    # What the old setting of 20 hours did at any spacing.
    late = bars["timestamp"] + pd.Timedelta(minutes=1200)
    bars_early = int(pd.Timedelta(minutes=1200) / pd.Timedelta(clock.spacing)) - 2
    assert correlation_ahead(late, bars_early) > 0.9


def test_minutes_to_the_close_may_be_early_and_not_late() -> None:
    def config(minutes: int) -> SentimentConfig:
        return SentimentConfig(enabled=True, path="", close_minutes=minutes, publication_delay_minutes=0)

    daily, by_new_york, _ = timed("daily, New York")
    # 13:00 in New York is 17:00 UTC in summer.
    early = bar_closes(daily, by_new_york, config(17 * 60))
    assert (early == daily["timestamp"] + pd.Timedelta(hours=17)).all()
    with pytest.raises(
        UserError, match=r"close_minutes: 1200 is after the close of 3 bars, first A 2019-07-03.*T17:00"
    ):
        bar_closes(daily, by_new_york, config(1200))
    hourly, around_the_clock, _ = timed("hourly, around the clock")
    with pytest.raises(UserError, match=r"close_minutes: 1200 is after the close of 800 bars.*set auto"):
        bar_closes(hourly, around_the_clock, config(1200))
