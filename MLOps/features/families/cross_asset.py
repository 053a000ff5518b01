"""Comparisons of a symbol with the recorded universe, and statistics of the universe itself.

The market return is the mean of the universe's log returns.
"""

import numpy as np

from MLOps.features.feature import Feature, SymbolBars
from MLOps.features.windows import lagged_log_return, rolling_correlation, rolling_std

UNIVERSE = "universe"


def _market_return(lag: int) -> Feature:
    return Feature(
        lag + 1, lambda b: b.universe.mean_return(lag), f"mean log return of the universe over {lag} bars", UNIVERSE
    )


def _relative_strength(lag: int) -> Feature:
    return Feature(
        lag + 1,
        lambda b: lagged_log_return(b.close, lag) - b.universe.mean_return(lag),
        f"log return over {lag} bars - the market's",
        UNIVERSE,
    )


def _rank(lag: int) -> Feature:
    return Feature(
        lag + 1,
        lambda b: b.universe.rank(lag, lagged_log_return(b.close, lag)),
        f"share of the universe with a lower return over {lag} bars",
        UNIVERSE,
    )


def _correlation(bars: int) -> Feature:
    return Feature(
        bars + 1,
        lambda b: rolling_correlation(b.log_return, b.universe.mean_return(1), bars),
        f"correlation of the last {bars} log returns with the market's",
        UNIVERSE,
    )


def _beta_of(b: SymbolBars, bars: int) -> np.ndarray:
    market = b.universe.mean_return(1)
    spread = rolling_std(market, bars)
    return np.where(
        spread > 0,
        rolling_correlation(b.log_return, market, bars)
        * rolling_std(b.log_return, bars)
        / np.where(spread > 0, spread, 1),
        np.nan,
    )


def _beta(bars: int) -> Feature:
    return Feature(
        bars + 1,
        lambda b: _beta_of(b, bars),
        f"slope of the last {bars} log returns on the market's, Sharpe (1964)",
        UNIVERSE,
    )


def _own_volatility(bars: int) -> Feature:
    def compute(b: SymbolBars) -> np.ndarray:
        correlation = rolling_correlation(b.log_return, b.universe.mean_return(1), bars)
        return rolling_std(b.log_return, bars) * np.sqrt(np.maximum(1 - correlation**2, 0.0))

    return Feature(
        bars + 1,
        compute,
        f"volatility of {bars} bars that the market does not explain: σ sqrt(1 - correlation²)",
        UNIVERSE,
    )


def _market_volatility(bars: int) -> Feature:
    return Feature(
        bars + 1,
        lambda b: rolling_std(b.universe.mean_return(1), bars),
        f"standard deviation of the market's last {bars} returns",
        UNIVERSE,
    )


FEATURES: dict[str, Feature] = {
    "market_return_1": _market_return(1),
    "market_return_5": _market_return(5),
    "market_return_20": _market_return(20),
    "relative_strength_5": _relative_strength(5),
    "relative_strength_20": _relative_strength(20),
    "relative_strength_60": _relative_strength(60),
    "rank_1": _rank(1),
    "rank_5": _rank(5),
    "rank_20": _rank(20),
    "market_correlation_30": _correlation(30),
    "beta_60": _beta(60),
    "own_volatility_60": _own_volatility(60),
    "market_volatility_20": _market_volatility(20),
    "dispersion_1": Feature(
        2, lambda b: b.universe.dispersion(1), "standard deviation across the universe of the 1-bar returns", UNIVERSE
    ),
    "breadth_20": Feature(
        21, lambda b: b.universe.breadth(20), "share of the universe whose return over 20 bars is above 0", UNIVERSE
    ),
}
