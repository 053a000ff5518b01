"""Sentiment is known from its publication and its delay on, and not a bar earlier."""

from pathlib import Path

import pandas as pd
import pytest

from MLOps.config.data import SentimentConfig
from MLOps.data.bars import SENTIMENT
from MLOps.data.sentiment import join_sentiment
from MLOps.data.sources.sample import bundled_bars
from MLOps.errors import UserError
from MLOps.features.causality import draw_cutoffs, find_leaks


def config(path: Path) -> SentimentConfig:
    """Bars close at 20:00; what is published counts an hour later."""
    return SentimentConfig(enabled=True, path=str(path), close_minutes=1200, publication_delay_minutes=60)


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
    joined = join_sentiment(bars, config(path)).set_index(["symbol", "timestamp"])[list(SENTIMENT)]
    spoken = joined[joined["sentiment_items"] > 0].reset_index()
    assert spoken["symbol"].tolist() == ["AAA"] * 3
    assert spoken["timestamp"].dt.day.tolist() == [3, 4, 8]
    assert spoken["sentiment"].tolist() == [0.5, 1.0, -0.5]
    assert spoken["sentiment_items"].tolist() == [1, 1, 2]


def test_the_join_is_causal(bars: pd.DataFrame, tmp_path: Path) -> None:
    stamps = pd.date_range("2024-01-02", periods=500, freq="97min", tz="UTC")
    path = written(tmp_path, *(f"{stamp.isoformat()},AAA,{i % 7 / 7:.3f}" for i, stamp in enumerate(stamps)))
    assert find_leaks(lambda table: join_sentiment(table, config(path))[["timestamp", "symbol", *SENTIMENT]], bars,
                      draw_cutoffs(bars, 20)) == []  # fmt: skip


def test_later_items_change_no_earlier_bar(bars: pd.DataFrame, tmp_path: Path) -> None:
    rows = [f"2024-01-{day:02}T12:00:00Z,AAA,0.5" for day in range(3, 29)]
    whole = join_sentiment(bars, config(written(tmp_path, *rows)))
    known = join_sentiment(bars, config(written(tmp_path, *rows[:8])))
    early = bars["timestamp"] <= "2024-01-10"
    pd.testing.assert_frame_equal(whole[early], known[early])


def test_headlines_are_scored() -> None:
    joined = join_sentiment(bundled_bars(), config(Path("data/sample/headlines.csv")))
    spoken = joined[joined["sentiment_items"] > 0].set_index(["symbol", "timestamp"])["sentiment"]
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
    ],
)
def test_what_cannot_be_joined_is_told(
    header: str, row: str, sentence: str, bars: pd.DataFrame, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=sentence):
        join_sentiment(bars, config(written(tmp_path, row, header=header)))
