"""Corporate actions: unadjusted prices with an adjusted close become consistently adjusted bars."""

import pandas as pd

from MLOps.data.bars import ADJUSTED_CLOSE, PRICES, VOLUME

ROUNDING = 1e-6  # of a price: what single precision, text and products may lose


def adjust(bars: pd.DataFrame) -> pd.DataFrame:
    """Scale open, high, low and close by adjusted/raw close, and volume the other way; `adj_close` is used up.

    Ratios between a bar's prices, and the money traded, stay what they were. High and low enclose open and close
    exactly where they did up to ROUNDING; whatever else is wrong with a bar stays wrong.
    """
    adjusted = bars.drop(columns=ADJUSTED_CLOSE, errors="ignore")
    if ADJUSTED_CLOSE in bars.columns:
        close = bars[ADJUSTED_CLOSE].fillna(bars["close"])
        ratio = close / bars["close"]
        for name in PRICES:
            adjusted[name] = bars[name] * ratio
        # The product above may miss the adjusted close by a rounding; the close is known exactly.
        adjusted["close"] = close
        if VOLUME in bars.columns:
            adjusted[VOLUME] = bars[VOLUME] / ratio
    body = adjusted[["open", "close"]]
    top, bottom = body.max(axis=1), body.min(axis=1)
    adjusted["high"] = adjusted["high"].mask(adjusted["high"].between(top * (1 - ROUNDING), top), top)
    adjusted["low"] = adjusted["low"].mask(adjusted["low"].between(bottom, bottom * (1 + ROUNDING)), bottom)
    return adjusted
