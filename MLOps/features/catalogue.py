"""The catalogue of features: name, the bars each needs, and how it is computed.

A feature's value at bar t is a function of the `warmup_bars` bars up to and including t, and of nothing else: cutting
the history before them, or changing anything after t, leaves its bits as they are. Features are free of price level
and currency, so that one model serves every symbol.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from MLOps.features.windows import (
    lagged_log_return,
    rolling_correlation,
    rolling_mean,
    rolling_std,
    windowed_talib,
)

# Wilder's smoothing over n bars forgets as (1 - 1/n)^bars: after 6 n bars 0.2 % of the start is left in the value.
WILDER_SPANS = 6


@dataclass(frozen=True)
class SymbolBars:
    """One symbol's bars as arrays of shape (bars,), and the market's return at those bars.

    `market_return_1` and `market_return_20` are the means of the universe's log returns over 1 and 20 bars, at the
    same timestamps; `rank_5` is the share of the universe whose 5-bar return lies below the symbol's.
    """

    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    weekday: np.ndarray
    month: np.ndarray
    market_return_1: np.ndarray
    market_return_20: np.ndarray
    rank_5: np.ndarray


@dataclass(frozen=True)
class Feature:
    """`compute` maps one symbol's bars to float64 values of shape (bars,), NaN while the warm-up lasts."""

    warmup_bars: int
    compute: Callable[[SymbolBars], np.ndarray]
    cross_asset: bool = False


def _positive(values: np.ndarray) -> np.ndarray:
    """Volume may be 0, whose logarithm is not a number a model can use: 1 unit stands for none."""
    return np.maximum(values, 1.0)


def _returns(lag: int) -> Feature:
    """Log return over `lag` bars."""
    return Feature(lag + 1, lambda b: lagged_log_return(b.close, lag))


def _gap(b: SymbolBars) -> np.ndarray:
    """Log of the open against the close before."""
    result = np.full(len(b.close), np.nan)
    result[1:] = np.log(b.open[1:] / b.close[:-1])
    return result


def _volatility(bars: int) -> Feature:
    """Standard deviation of the last `bars` log returns."""
    return Feature(bars + 1, lambda b: rolling_std(lagged_log_return(b.close, 1), bars))


def _parkinson(bars: int) -> Feature:
    """Range estimator of volatility, sqrt(mean(ln(high/low)²) / (4 ln 2)): Parkinson (1980)."""
    return Feature(bars, lambda b: np.sqrt(rolling_mean(np.log(b.high / b.low) ** 2, bars) / (4 * np.log(2))))


def _price_to_mean(bars: int) -> Feature:
    """Log of the close against its moving average."""
    return Feature(bars, lambda b: np.log(b.close / rolling_mean(b.close, bars)))


def _volume_to_mean(bars: int) -> Feature:
    """Log of the volume against its moving average."""
    return Feature(bars, lambda b: np.log(_positive(b.volume) / rolling_mean(_positive(b.volume), bars)))


def _volume_volatility(bars: int) -> Feature:
    """Standard deviation of the last `bars` log changes of volume."""
    return Feature(bars + 1, lambda b: rolling_std(lagged_log_return(_positive(b.volume), 1), bars))


def _wilder(name: str, bars: int) -> Feature:
    """A TA-Lib indicator of Wilder (1978) on high, low and close, or on the close alone for RSI."""
    window = WILDER_SPANS * bars
    if name == "RSI":
        return Feature(window, lambda b: windowed_talib(name, (b.close,), window, timeperiod=bars) / 100)
    return Feature(window, lambda b: windowed_talib(name, (b.high, b.low, b.close), window, timeperiod=bars) / 100)


def _relative_atr(bars: int) -> Feature:
    """Average true range as a share of the close."""
    window = WILDER_SPANS * bars
    return Feature(window, lambda b: windowed_talib("ATR", (b.high, b.low, b.close), window, timeperiod=bars) / b.close)


def _macd(output: int) -> Feature:
    """MACD 12/26/9 as a share of the close: 0 the line, 2 the histogram (Appel). 78 bars are three slow spans."""
    return Feature(78, lambda b: windowed_talib("MACD", (b.close,), 78, output) / b.close)


def _bollinger(bars: int) -> Feature:
    """Where the close lies between the Bollinger bands of ± 2 standard deviations: 0 at the lower, 1 at the upper."""

    def compute(b: SymbolBars) -> np.ndarray:
        width = 4 * rolling_std(b.close, bars)
        offset = b.close - rolling_mean(b.close, bars)
        return np.where(width > 0, offset / np.where(width > 0, width, 1), 0.0 * offset) + 0.5

    return Feature(bars, compute)


def _oscillator(name: str, bars: int, scale: float, volume: bool = False) -> Feature:
    """A TA-Lib oscillator over `bars` bars of high, low, close (and volume), divided by its usual range."""

    def compute(b: SymbolBars) -> np.ndarray:
        arrays = (b.high, b.low, b.close, b.volume) if volume else (b.high, b.low, b.close)
        return windowed_talib(name, arrays, bars + 1, timeperiod=bars) / scale

    return Feature(bars + 1, compute)


def _aroon(bars: int) -> Feature:
    """Aroon oscillator (Chande, 1995), in [-1, 1]."""
    return Feature(bars + 1, lambda b: windowed_talib("AROONOSC", (b.high, b.low), bars + 1, timeperiod=bars) / 100)


CATALOGUE: dict[str, Feature] = {
    "return_1": _returns(1),
    "return_5": _returns(5),
    "return_20": _returns(20),
    "gap": Feature(2, _gap),
    "body": Feature(1, lambda b: np.log(b.close / b.open)),
    "range": Feature(1, lambda b: np.log(b.high / b.low)),
    "volatility_5": _volatility(5),
    "volatility_20": _volatility(20),
    "parkinson_20": _parkinson(20),
    "price_to_mean_20": _price_to_mean(20),
    "price_to_mean_50": _price_to_mean(50),
    "volume_to_mean_20": _volume_to_mean(20),
    "volume_change": Feature(2, lambda b: lagged_log_return(_positive(b.volume), 1)),
    "volume_volatility_20": _volume_volatility(20),
    "rsi_14": _wilder("RSI", 14),
    "adx_14": _wilder("ADX", 14),
    "plus_di_14": _wilder("PLUS_DI", 14),
    "minus_di_14": _wilder("MINUS_DI", 14),
    "atr_14": _relative_atr(14),
    "macd": _macd(0),
    "macd_histogram": _macd(2),
    "bollinger_20": _bollinger(20),
    "cci_20": _oscillator("CCI", 20, 200),
    "williams_r_14": _oscillator("WILLR", 14, 100),
    "mfi_14": _oscillator("MFI", 14, 100, volume=True),
    "aroon_25": _aroon(25),
    "weekday": Feature(1, lambda b: b.weekday / 6),
    "month_sin": Feature(1, lambda b: np.sin(2 * np.pi * b.month / 12)),
    "month_cos": Feature(1, lambda b: np.cos(2 * np.pi * b.month / 12)),
    "market_return_1": Feature(2, lambda b: b.market_return_1, cross_asset=True),
    "relative_strength_20": Feature(
        21, lambda b: lagged_log_return(b.close, 20) - b.market_return_20, cross_asset=True
    ),
    "rank_5": Feature(6, lambda b: b.rank_5, cross_asset=True),
    "market_correlation_30": Feature(
        31, lambda b: rolling_correlation(lagged_log_return(b.close, 1), b.market_return_1, 30), cross_asset=True
    ),
}
