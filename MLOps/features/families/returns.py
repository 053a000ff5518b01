"""Returns, shapes of bars and of recent paths, and the position of the close in its range."""

import numpy as np
from numba import njit

from MLOps.compiled import CACHE
from MLOps.features.feature import Feature, SymbolBars
from MLOps.features.windows import lagged_log_return, rolling_correlation, rolling_max, rolling_mean, rolling_std


def _return(lag: int) -> Feature:
    return Feature(lag + 1, lambda b: lagged_log_return(b.close, lag), f"log(close / close {lag} bars ago)")


def _gap(b: SymbolBars) -> np.ndarray:
    result = np.full(len(b.close), np.nan)
    result[1:] = np.log(b.open[1:] / b.close[:-1])
    return result


def _close_location(b: SymbolBars) -> np.ndarray:
    """0.5 for a bar without range."""
    span = b.high - b.low
    return np.where(span > 0, (b.close - b.low) / np.where(span > 0, span, 1), 0.5 + 0.0 * span)


def _price_to_mean(bars: int) -> Feature:
    return Feature(
        bars, lambda b: np.log(b.close / rolling_mean(b.close, bars)), f"log(close / mean of the last {bars} closes)"
    )


def _price_to_high(bars: int) -> Feature:
    return Feature(
        bars, lambda b: np.log(b.close / rolling_max(b.high, bars)), f"log(close / highest high of {bars} bars)"
    )


def _price_to_low(bars: int) -> Feature:
    return Feature(
        bars, lambda b: np.log(b.close / -rolling_max(-b.low, bars)), f"log(close / lowest low of {bars} bars)"
    )


def _up_share(bars: int) -> Feature:
    def compute(b: SymbolBars) -> np.ndarray:
        return rolling_mean(np.where(np.isnan(b.log_return), np.nan, (b.log_return > 0) * 1.0), bars)

    return Feature(bars + 1, compute, f"share of the last {bars} returns above 0")


def _mean_over_deviation(bars: int) -> Feature:
    """0 if returns are constant."""

    def compute(b: SymbolBars) -> np.ndarray:
        mean, deviation = rolling_mean(b.log_return, bars), rolling_std(b.log_return, bars)
        return np.where(deviation > 0, mean / np.where(deviation > 0, deviation, 1), 0.0 * deviation)

    return Feature(bars + 1, compute, f"mean / standard deviation of the last {bars} returns, Sharpe (1966)")


def _autocorrelation(bars: int) -> Feature:
    def compute(b: SymbolBars) -> np.ndarray:
        before = np.concatenate([[np.nan], b.log_return[:-1]])
        return rolling_correlation(b.log_return, before, bars)

    return Feature(bars + 2, compute, f"correlation of the last {bars} returns with those one bar before")


def _moment(bars: int, order: int, name: str) -> Feature:
    return Feature(
        bars + 1,
        lambda b: standardised_moment(b.log_return, bars, order),
        f"{name} of the last {bars} returns: mean of ((r - mean) / standard deviation)^{order}",
    )


@njit(cache=CACHE, nogil=True)
def standardised_moment(values: np.ndarray, window: int, order: int) -> np.ndarray:
    """Mean of the `order`-th power of the last `window` values, standardised with ddof 0; 0 if they are constant."""
    result = np.full(len(values), np.nan)
    for t in range(window - 1, len(values)):
        mean = 0.0
        for i in range(t - window + 1, t + 1):
            mean += values[i]
        mean /= window
        variance, moment = 0.0, 0.0
        for i in range(t - window + 1, t + 1):
            deviation = values[i] - mean
            square = deviation * deviation
            variance += square
            moment += square * deviation if order == 3 else square * square
        variance /= window
        if np.isnan(variance):
            continue
        result[t] = moment / window / variance ** (order / 2) if variance > 0.0 else 0.0
    return result


FEATURES: dict[str, Feature] = {
    "return_1": _return(1),
    "return_2": _return(2),
    "return_5": _return(5),
    "return_10": _return(10),
    "return_20": _return(20),
    "return_60": _return(60),
    "gap": Feature(2, _gap, "log(open / close before)"),
    "body": Feature(1, lambda b: np.log(b.close / b.open), "log(close / open)"),
    "range": Feature(1, lambda b: np.log(b.high / b.low), "log(high / low)"),
    "upper_shadow": Feature(1, lambda b: np.log(b.high / np.maximum(b.open, b.close)), "log(high / max(open, close))"),
    "lower_shadow": Feature(1, lambda b: np.log(np.minimum(b.open, b.close) / b.low), "log(min(open, close) / low)"),
    "close_location": Feature(1, _close_location, "(close - low) / (high - low)"),
    "price_to_mean_20": _price_to_mean(20),
    "price_to_mean_50": _price_to_mean(50),
    "price_to_mean_100": _price_to_mean(100),
    "price_to_high_60": _price_to_high(60),
    "price_to_low_60": _price_to_low(60),
    "up_share_20": _up_share(20),
    "mean_over_deviation_20": _mean_over_deviation(20),
    "mean_over_deviation_60": _mean_over_deviation(60),
    "autocorrelation_30": _autocorrelation(30),
    "skewness_60": _moment(60, 3, "skewness"),
    "kurtosis_60": _moment(60, 4, "kurtosis"),
}
