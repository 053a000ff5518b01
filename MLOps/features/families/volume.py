"""Volume relative to its past and to price, independent of its unit.

TA-Lib's volume indicators are in the family `technical`. Features that take the log of volume, or divide by a single
volume, use `SymbolBars.traded`, whose floor depends on the last TRADED_BARS bars.
"""

import numpy as np

from MLOps.features.feature import TRADED_BARS, Feature, SymbolBars
from MLOps.features.windows import lagged_log_return, rolling_correlation, rolling_mean, rolling_std

VOLUME = "volume"
FLOOR_BARS = TRADED_BARS - 1  # bars that `traded` needs besides the bar itself
NO_SPREAD = 1e-9  # standard deviation of log volume below which volume is constant up to rounding


def _to_mean(bars: int) -> Feature:
    return Feature(
        FLOOR_BARS + bars,
        lambda b: np.log(b.traded / rolling_mean(b.traded, bars)),
        f"log(volume / mean of the last {bars} volumes)",
        VOLUME,
    )


def _change(b: SymbolBars) -> np.ndarray:
    return lagged_log_return(b.traded, 1)


def _volatility(bars: int) -> Feature:
    return Feature(
        FLOOR_BARS + bars + 1,
        lambda b: rolling_std(_change(b), bars),
        f"standard deviation of the last {bars} log changes of volume",
        VOLUME,
    )


def _score(bars: int) -> Feature:
    """0 if volume is constant."""

    def compute(b: SymbolBars) -> np.ndarray:
        logs = np.log(b.traded)
        deviation = rolling_std(logs, bars)
        offset = logs - rolling_mean(logs, bars)
        varies = deviation > NO_SPREAD
        return np.where(varies, offset / np.where(varies, deviation, 1), 0.0 * deviation)

    return Feature(FLOOR_BARS + bars, compute, f"(log volume - mean) / standard deviation over {bars} bars", VOLUME)


def _illiquidity(bars: int) -> Feature:
    """Relative to the symbol's own longer past, because traded value is in the symbol's currency."""

    def compute(b: SymbolBars) -> np.ndarray:
        price_moved = np.abs(b.log_return) / (b.traded * b.close)
        recent, usual = rolling_mean(price_moved, bars), rolling_mean(price_moved, 3 * bars)
        return np.where(usual > 0, recent / np.where(usual > 0, usual, 1), 1.0 + 0.0 * usual)

    return Feature(
        FLOOR_BARS + 3 * bars,
        compute,
        f"mean(abs(r) / money traded) of {bars} bars / that of {3 * bars}, after Amihud (2002)",
        VOLUME,
    )


def _weighted_price(bars: int) -> Feature:
    def compute(b: SymbolBars) -> np.ndarray:
        typical = (b.high + b.low + b.close) / 3
        return np.log(b.close / (rolling_mean(typical * b.volume, bars) / b.mean_volume(bars)))

    return Feature(bars, compute, f"log(close / volume-weighted typical price of {bars} bars)", VOLUME)


def _price_correlation(bars: int) -> Feature:
    return Feature(
        FLOOR_BARS + bars + 1,
        lambda b: rolling_correlation(b.log_return, _change(b), bars),
        f"correlation of the last {bars} log returns and log changes of volume",
        VOLUME,
    )


def _up_share(bars: int) -> Feature:
    def compute(b: SymbolBars) -> np.ndarray:
        rising = np.where(np.isnan(b.log_return), np.nan, (b.log_return > 0) * b.volume)
        return rolling_mean(rising, bars) / b.mean_volume(bars)

    return Feature(bars + 1, compute, f"share of the volume of {bars} bars that traded in rising ones", VOLUME)


def _force(bars: int) -> Feature:
    def compute(b: SymbolBars) -> np.ndarray:
        return rolling_mean(b.log_return * b.volume, bars) / b.mean_volume(bars)

    return Feature(
        bars + 1, compute, f"mean log return of {bars} bars, weighted by volume, after Elder's force index", VOLUME
    )


FEATURES: dict[str, Feature] = {
    "volume_to_mean_20": _to_mean(20),
    "volume_to_mean_60": _to_mean(60),
    "volume_change": Feature(FLOOR_BARS + 2, _change, "log(volume / volume before)", VOLUME),
    "volume_volatility_20": _volatility(20),
    "volume_score_60": _score(60),
    "illiquidity_20": _illiquidity(20),
    "price_to_vwap_20": _weighted_price(20),
    "price_volume_correlation_20": _price_correlation(20),
    "up_volume_share_20": _up_share(20),
    "force_13": _force(13),
}
