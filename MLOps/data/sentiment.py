"""What was published about a symbol, joined backward: as of the bar's close, with the delay of publication."""

from pathlib import Path

import numpy as np
import pandas as pd

from MLOps.config.data import SentimentConfig
from MLOps.data.bars import SENTIMENT
from MLOps.errors import UserError


def join_sentiment(bars: pd.DataFrame, config: SentimentConfig) -> pd.DataFrame:
    """The bars with `sentiment`, the mean score of what became known after the bar before and by this one's close, and
    `sentiment_items`, how much that was; both 0 for silence.

    Raises:
        UserError: the file is missing or lacks a column, or a score is not in [-1, 1].
    """
    items = _read_items(Path(config.path))
    known = items["published"] + pd.Timedelta(minutes=config.publication_delay_minutes)
    closes = bars["timestamp"] + pd.Timedelta(minutes=config.close_minutes)
    sums, counts = np.zeros(len(bars)), np.zeros(len(bars))
    for symbol, rows in bars.groupby("symbol").indices.items():
        own = (items["symbol"] == symbol).to_numpy()
        # The first bar that closes at or after the time at which the item is known.
        places = np.searchsorted(_ticks(closes.iloc[rows]), _ticks(known[own]), side="left")
        inside = places < len(rows)
        np.add.at(sums, rows[places[inside]], items["score"].to_numpy()[own][inside])
        np.add.at(counts, rows[places[inside]], 1.0)
    # The first bar of a symbol would collect all that was ever published before it.
    first = ~bars.duplicated("symbol").to_numpy()
    sums[first], counts[first] = 0.0, 0.0
    columns = (np.where(counts > 0, sums / np.maximum(counts, 1), 0.0), counts)
    return bars.assign(**dict(zip(SENTIMENT, columns, strict=True)))


def _ticks(times: pd.Series) -> np.ndarray:
    return times.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(dtype="datetime64[us]")


def _read_items(path: Path) -> pd.DataFrame:
    """`published` (UTC), `symbol` and `score` of each item, in order of time."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; set data.sentiment.path to headlines or scores, or enabled to false")
    items = pd.read_csv(path, dtype={"symbol": "str", "headline": "str"}, encoding="utf-8-sig")
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
    wrong = ~items["score"].between(-1, 1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise UserError(f"{path}: scores must lie in [-1, 1]; row {row} has {items['score'].iloc[row]}; correct it")
    return items.sort_values("published", kind="stable", ignore_index=True)[["published", "symbol", "score"]]


def _score(headlines: pd.Series) -> pd.Series:
    """VADER's compound score, in [-1, 1]: Hutto & Gilbert (2014); the lexicon comes with the package."""
    # A tenth of a second, for the runs that have headlines.
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyser = SentimentIntensityAnalyzer()
    return headlines.fillna("").map(lambda text: float(analyser.polarity_scores(text)["compound"]))
