"""Sentiment of the items published about the symbol, as of the bar's close (joined by MLOps/data/sentiment.py)."""

import numpy as np

from MLOps.features.feature import Feature
from MLOps.features.windows import rolling_mean

SENTIMENT = "sentiment"


def _mean(bars: int) -> Feature:
    return Feature(
        bars, lambda b: rolling_mean(b.sentiment, bars), f"mean score of the last {bars} bars, 0 for silence", SENTIMENT
    )


def _attention(bars: int) -> Feature:
    return Feature(
        bars,
        lambda b: np.log1p(bars * rolling_mean(b.sentiment_items, bars)),
        f"log(1 + items published in {bars} bars)",
        SENTIMENT,
    )


FEATURES: dict[str, Feature] = {
    "sentiment_1": _mean(1),
    "sentiment_5": _mean(5),
    "sentiment_20": _mean(20),
    "attention_5": _attention(5),
}
