"""Sentiment scores of published items, joined to bars as of the close, after a publication delay."""

from pathlib import Path

import numpy as np
import pandas as pd

from MLOps.config.data import SentimentConfig
from MLOps.data.bars import SENTIMENT
from MLOps.data.clock import Clock
from MLOps.data.tables import read_table
from MLOps.errors import UserError


def with_sentiment(bars: pd.DataFrame, clock: Clock, config: SentimentConfig) -> pd.DataFrame:
    """The bars with the sentiment of the configured items; unchanged if it is not enabled.

    Raises:
        UserError: see `bar_closes` and `read_items`.
    """
    if not config.enabled:
        return bars
    closes = bar_closes(bars, clock, config)
    return join_sentiment(bars, read_items(Path(config.path)), closes, config.publication_delay_minutes)


def join_sentiment(bars: pd.DataFrame, items: pd.DataFrame, closes: pd.Series, delay_minutes: int) -> pd.DataFrame:
    """Add the columns `sentiment` and `sentiment_items` to the bars.

    They are the mean score and the number of the items that became known after the previous bar's close and no later
    than this bar's close; both are 0 if there are none.

    Args:
        bars: in contract form.
        items: as from `read_items`.
        closes: close time of each bar, in UTC; see `bar_closes`.
        delay_minutes: time from publication until an item counts as known.
    """
    known = items["published"] + pd.Timedelta(minutes=delay_minutes)
    sums, counts = np.zeros(len(bars)), np.zeros(len(bars))
    for symbol, rows in bars.groupby("symbol").indices.items():
        own = (items["symbol"] == symbol).to_numpy()
        # The first bar that closes when the item is known, or later.
        places = np.searchsorted(_ticks(closes.iloc[rows]), _ticks(known[own]), side="left")
        inside = places < len(rows)
        np.add.at(sums, rows[places[inside]], items["score"].to_numpy()[own][inside])
        np.add.at(counts, rows[places[inside]], 1.0)
    # A symbol's first bar is skipped: all items published before it would fall into it.
    first = ~bars.duplicated("symbol").to_numpy()
    sums[first], counts[first] = 0.0, 0.0
    columns = (np.where(counts > 0, sums / np.maximum(counts, 1), 0.0), counts)
    return bars.assign(**dict(zip(SENTIMENT, columns, strict=True)))


def bar_closes(bars: pd.DataFrame, clock: Clock, config: SentimentConfig) -> pd.Series:
    """Close time of each bar, in UTC: the clock's, or `close_minutes` after its timestamp.

    Raises:
        UserError: `close_minutes` is later than the clock's close, so that a bar would contain later items.
    """
    derived = clock.closes(bars["timestamp"])
    if config.close_minutes == "auto":
        return derived
    closes = bars["timestamp"] + pd.Timedelta(minutes=config.close_minutes)
    late = (closes > derived).to_numpy()
    if late.any():
        first = bars.iloc[int(np.argmax(late))]
        close = derived.iloc[int(np.argmax(late))]
        raise UserError(
            f"data.sentiment.close_minutes: {config.close_minutes} is after the close of {int(late.sum())} bars, first "
            f"{first['symbol']} {first['timestamp'].isoformat()}, which closes at {close.isoformat()} by "
            f"{clock.calendar or 'the bars alone (no data.calendar)'}; these bars would contain items published "
            "later: set auto"
        )
    return closes


def _ticks(times: pd.Series) -> np.ndarray:
    return times.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(dtype="datetime64[us]")


def read_items(path: Path) -> pd.DataFrame:
    """Read `published` (UTC), `symbol` and `score` of each item, in order of time.

    Raises:
        UserError: the file is missing or lacks a column, a symbol is empty, or a score is not in [-1, 1].
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; set data.sentiment.path to headlines or scores, or enabled to false")
    items = read_table(path, lambda name: name in ("symbol", "headline"))
    if lacking := [name for name in ("published", "symbol") if name not in items.columns]:
        raise UserError(
            f"{path}: expected the columns published, symbol and score or headline; {lacking[0]} is missing"
        )
    if "score" not in items.columns:
        if "headline" not in items.columns:
            raise UserError(f"{path}: expected a column score or headline, found neither; add one")
        items["score"] = _score(items["headline"])
    try:
        items["published"] = pd.to_datetime(items["published"], utc=True, format="ISO8601")
    except ValueError as error:
        raise UserError(f"{path}: published must be ISO 8601 times: {error}; correct the rows") from None
    nameless = (items["symbol"].str.strip() == "").to_numpy()
    if nameless.any():
        row = int(np.argmax(nameless))
        raise UserError(
            f"{path}: symbol must be given; {int(nameless.sum())} rows have none, first row {row}; correct it"
        )
    wrong = ~items["score"].between(-1, 1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise UserError(f"{path}: scores must lie in [-1, 1]; row {row} has {items['score'].iloc[row]}; correct it")
    return items.sort_values("published", kind="stable", ignore_index=True)[["published", "symbol", "score"]]


def _score(headlines: pd.Series) -> pd.Series:
    """VADER's compound score, in [-1, 1]: Hutto & Gilbert (2014); the lexicon is part of the package."""
    # Imported here because it takes 0.1 s and only runs with headlines need it.
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyser = SentimentIntensityAnalyzer()
    return headlines.map(lambda text: float(analyser.polarity_scores(text)["compound"]))
