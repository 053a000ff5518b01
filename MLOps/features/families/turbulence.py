"""Turbulence of the universe's returns relative to preceding ones; the same for every symbol at a timestamp."""

import numpy as np
import pandas as pd

from MLOps.config.trading import TradingConfig
from MLOps.errors import UserError
from MLOps.features.feature import Feature


def _turbulence(bars: int) -> Feature:
    """The window of n returns and the bar's own return take n + 2 closes."""
    return Feature(
        bars + 2,
        lambda b: np.log1p(b.universe.turbulence(bars)),
        f"log(1 + Mahalanobis distance a symbol of the returns from the {bars} before), Kritzman & Li (2010)",
        "universe",
    )


FEATURES: dict[str, Feature] = {"turbulence_20": _turbulence(20), "turbulence_60": _turbulence(60)}


def market_turbulence(features: pd.DataFrame, trading: TradingConfig) -> pd.Series | None:
    """The feature that the turbulence stop of `trading` compares with, by timestamp; None without a stop.

    Raises:
        UserError: the feature table lacks it.
    """
    if trading.turbulence_stop is None:
        return None
    if (name := trading.turbulence_feature) not in features.columns:
        raise UserError(
            f"trading.turbulence_stop: expected the feature {name}, found none; add it to features.names or set "
            "trading.turbulence_stop to null"
        )
    # The same at every symbol, but NaN in a symbol's own warm-up.
    return features.groupby("timestamp")[name].max()
