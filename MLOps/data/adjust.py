"""Corporate actions: unadjusted prices with an adjusted close become consistently adjusted bars."""

import pandas as pd

from MLOps.data.bars import ADJUSTED_CLOSE, PRICES, VOLUME

ROUNDING = 1e-6  # relative; single precision, text and products may lose this much of a price


def adjust(bars: pd.DataFrame) -> pd.DataFrame:
    """Multiply open, high, low and close by adjusted/raw close, divide volume by it, and drop `adj_close`.

    This preserves the ratios between a bar's prices, and its traded value. If high or low misses open or close by at
    most ROUNDING, it is set to that price; other defects are left as they are.
    """
    adjusted = bars.drop(columns=ADJUSTED_CLOSE, errors="ignore")
    if ADJUSTED_CLOSE in bars.columns:
        close = bars[ADJUSTED_CLOSE].fillna(bars["close"])
        ratio = close / bars["close"]
        for name in PRICES:
            adjusted[name] = bars[name] * ratio
        # The product above may miss the adjusted close by a rounding error, so the exact value is used.
        adjusted["close"] = close
        if VOLUME in bars.columns:
            adjusted[VOLUME] = bars[VOLUME] / ratio
    body = adjusted[["open", "close"]]
    top, bottom = body.max(axis=1), body.min(axis=1)
    adjusted["high"] = adjusted["high"].mask(adjusted["high"].between(top * (1 - ROUNDING), top), top)
    adjusted["low"] = adjusted["low"].mask(adjusted["low"].between(bottom, bottom * (1 + ROUNDING)), bottom)
    return adjusted
