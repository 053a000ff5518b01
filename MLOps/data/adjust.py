"""Corporate actions: unadjusted prices with an adjusted close become consistently adjusted bars."""

import pandas as pd

from MLOps.data.bars import PRICES


def adjust(bars: pd.DataFrame) -> pd.DataFrame:
    """Scale open, high, low and close by adjusted/raw close, and volume the other way; `adj_close` is used up.

    Ratios between a bar's prices, and the money traded, stay what they were.
    """
    ratio = bars["adj_close"] / bars["close"]
    adjusted = bars.drop(columns="adj_close")
    for name in PRICES:
        adjusted[name] = bars[name] * ratio
    # The product above may miss the adjusted close by a rounding; the close is known exactly.
    adjusted["close"] = bars["adj_close"]
    adjusted["high"] = adjusted[list(PRICES)].max(axis=1)
    adjusted["low"] = adjusted[list(PRICES)].min(axis=1)
    adjusted["volume"] = bars["volume"] / ratio
    return adjusted
