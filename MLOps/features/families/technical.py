"""Technical indicators by TA-Lib, each restarted on its own window and normalised to be independent of price level.

Windows of recursive indicators are so long that the start value has almost no weight: it decays as (1 - 1/n)^bars in
Wilder's smoothing over n bars, and as (1 - 2/(n + 1))^bars in an exponential mean over n. TA-Lib's HT_SINE, HT_DCPHASE
and HT_TRENDMODE are left out: restarted on windows, they cost thirty times as much as any other indicator.
"""

import numpy as np

from MLOps.features.feature import Feature, SymbolBars
from MLOps.features.windows import rolling_mean, rolling_std, wilder_sum

VOLUME = "volume"
WILDER_SPANS = 6  # after 6 n bars the start value has a weight of 0.2 % in Wilder's smoothing
EMA_SPANS = 5  # after 5 n bars the start value has a weight of 0.005 % in an exponential mean
MACD_BARS = 78  # three slow spans
NO_MOVE = 1e-12  # relative to the price: rounding error of adjustment and addition when prices are equal
TALIB_ZERO = 1e-14  # TA-Lib treats smaller denominators as 0


def _scaled(
    name: str,
    inputs: str,
    window_bars: int,
    formula: str,
    scale: float = 1.0,
    output: int = 0,
    **options: float,
) -> Feature:
    """An indicator that is independent of price level, divided by its usual range."""
    return Feature(
        window_bars,
        lambda b: b.talib(name, inputs, window_bars, **options)[output] / scale,
        f"{formula}; TA-Lib {name}",
    )


def _to_close(name: str, inputs: str, window_bars: int, formula: str, output: int = 0, **options: float) -> Feature:
    """An indicator in units of price, as a share of the close."""
    return Feature(
        window_bars,
        lambda b: b.talib(name, inputs, window_bars, **options)[output] / b.close,
        f"{formula} / close; TA-Lib {name}",
    )


def _close_against(
    name: str, inputs: str, window_bars: int, formula: str, output: int = 0, **options: float
) -> Feature:
    """The log of the close over an indicator that is a price; NaN if the indicator is not positive."""

    def compute(b: SymbolBars) -> np.ndarray:
        level = b.talib(name, inputs, window_bars, **options)[output]
        return np.log(b.close / np.where(level > 0, level, np.nan))

    return Feature(window_bars, compute, f"log(close / {formula}); TA-Lib {name}")


def _per_volume(name: str, inputs: str, window_bars: int, formula: str, **options: float) -> Feature:
    """An indicator in units of volume, as a share of the window's mean volume."""
    return Feature(
        window_bars,
        lambda b: b.talib(name, inputs, window_bars, **options)[0] / b.mean_volume(window_bars),
        f"{formula} / mean volume; TA-Lib {name}",
        VOLUME,
    )


def money_flow(b: SymbolBars, bars: int) -> np.ndarray:
    """Money flow index in [0, 1]: traded value of bars with a rising / with a changed typical price, over `bars` bars.

    TA-Lib's MFI is 0 if the traded value is below 1, and so depends on the units of price and volume. Here it is 0.5 if
    the traded value is 0, and price changes within rounding error count as none.
    """
    typical = (b.high + b.low + b.close) / 3
    rise = np.full(len(typical), np.nan)
    rise[1:] = typical[1:] / typical[:-1] - 1
    flow = typical * b.volume
    gained = rolling_mean(np.where(np.isnan(rise), np.nan, (rise > NO_MOVE) * flow), bars)
    total = gained + rolling_mean(np.where(np.isnan(rise), np.nan, (rise < -NO_MOVE) * flow), bars)
    return np.divide(gained, total, out=0.5 + 0.0 * total, where=total > 0)


def relative_strength(close: np.ndarray, window: int, period: int) -> np.ndarray:
    """Wilder's RSI in [0, 100], restarted on each window: TA-Lib's RSI at a fraction of its cost."""
    move = np.full(len(close), np.nan)
    move[1:] = close[1:] - close[:-1]
    gained = wilder_sum(np.maximum(move, 0), window - 1, period, period)
    total = gained + wilder_sum(np.maximum(-move, 0), window - 1, period, period)
    return 100 * _share(gained, total, total / period > TALIB_ZERO)


def directional_index(high: np.ndarray, low: np.ndarray, close: np.ndarray, window: int, period: int) -> np.ndarray:
    """Wilder's DX in [0, 100], restarted on each window: TA-Lib's DX at a fraction of its cost."""
    rise, fall, before = np.full(len(high), np.nan), np.full(len(high), np.nan), np.full(len(high), np.nan)
    rise[1:], fall[1:], before[1:] = high[1:] - high[:-1], low[:-1] - low[1:], close[:-1]
    plus = wilder_sum(np.where((rise > 0) & (rise > fall), rise, 0.0), window - 1, period, period - 1)
    minus = wilder_sum(np.where((fall > 0) & (fall > rise), fall, 0.0), window - 1, period, period - 1)
    ranges = np.maximum(np.maximum(high - low, np.abs(high - before)), np.abs(low - before))
    span = wilder_sum(ranges, window - 1, period, period - 1)
    total = plus + minus
    # The true range of the first bar is NaN, and so are the values before the first complete window.
    moved = (span > TALIB_ZERO) & (100 * total > TALIB_ZERO * span)
    return np.where(np.isnan(span), np.nan, 100 * _share(np.abs(plus - minus), total, moved))


def _share(part: np.ndarray, whole: np.ndarray, known: np.ndarray) -> np.ndarray:
    """part / whole; 0 where `known` is false, NaN where `whole` is NaN."""
    return np.divide(part, whole, out=np.zeros_like(whole), where=known | np.isnan(whole))


def _relative_strength(bars: int) -> Feature:
    window = WILDER_SPANS * bars
    return Feature(
        window,
        lambda b: relative_strength(b.close, window, bars) / 100,
        "relative strength index / 100, Wilder (1978)",
    )


def _directional_index(bars: int) -> Feature:
    window = WILDER_SPANS * bars
    return Feature(
        window,
        lambda b: directional_index(b.high, b.low, b.close, window, bars) / 100,
        "directional index / 100, Wilder (1978)",
    )


def _bollinger(bars: int) -> Feature:
    """0 at the lower band, 1 at the upper; 0.5 if the bands have no width."""

    def compute(b: SymbolBars) -> np.ndarray:
        width = 4 * rolling_std(b.close, bars)
        offset = b.close - rolling_mean(b.close, bars)
        return np.where(width > 0, offset / np.where(width > 0, width, 1), 0.0 * offset) + 0.5

    return Feature(bars, compute, "(close - lower) / (upper - lower), bands at ± 2 standard deviations; Bollinger")


def _band_width(bars: int) -> Feature:
    """The spread of recent prices, whatever their direction."""

    def compute(b: SymbolBars) -> np.ndarray:
        upper, middle, lower = b.talib("BBANDS", "close", bars, timeperiod=bars)
        return (upper - lower) / middle

    return Feature(bars, compute, "(upper - lower) / middle band of Bollinger; TA-Lib BBANDS")


def _sar(bars: int) -> Feature:
    """Negative while the stop is above the close, as in a downtrend."""
    return _close_against("SAR", "high low", bars, "parabolic stop-and-reverse, Wilder (1978)")


HLC, HL, HLCV, OHLC = "high low close", "high low", "high low close volume", "open high low close"
W14 = WILDER_SPANS * 14

FEATURES: dict[str, Feature] = {
    # Momentum
    "rsi_14": _relative_strength(14),
    "rsi_7": _relative_strength(7),
    "adx_14": _scaled("ADX", HLC, W14, "average directional index / 100, Wilder (1978)", 100, timeperiod=14),
    "adxr_14": _scaled(
        "ADXR", HLC, W14 + 13, "mean of ADX now and 13 bars ago / 100, Wilder (1978)", 100, timeperiod=14
    ),
    "dx_14": _directional_index(14),
    "plus_di_14": _scaled(
        "PLUS_DI", HLC, W14, "positive directional indicator / 100, Wilder (1978)", 100, timeperiod=14
    ),
    "minus_di_14": _scaled(
        "MINUS_DI", HLC, W14, "negative directional indicator / 100, Wilder (1978)", 100, timeperiod=14
    ),
    "plus_dm_14": _to_close("PLUS_DM", HL, W14, "smoothed positive directional movement, Wilder (1978)", timeperiod=14),
    "minus_dm_14": _to_close(
        "MINUS_DM", HL, W14, "smoothed negative directional movement, Wilder (1978)", timeperiod=14
    ),
    "macd": _to_close("MACD", "close", MACD_BARS, "EMA 12 - EMA 26, Appel"),
    "macd_signal": _to_close("MACD", "close", MACD_BARS, "EMA 9 of MACD, Appel", output=1),
    "macd_histogram": _to_close("MACD", "close", MACD_BARS, "MACD - its EMA 9, Appel", output=2),
    "apo_12_26": _to_close(
        "APO", "close", 26, "mean of 12 - mean of 26 closes", fastperiod=12, slowperiod=26, matype=0
    ),
    "ppo_5_35": _scaled(
        "PPO", "close", 35, "mean of 5 / mean of 35 closes - 1", 100, fastperiod=5, slowperiod=35, matype=0
    ),
    "cci_20": _scaled("CCI", HLC, 21, "commodity channel index / 200, Lambert (1980)", 200, timeperiod=20),
    "williams_r_14": _scaled("WILLR", HLC, 15, "Williams' %R / 100, in [-1, 0]", 100, timeperiod=14),
    "mfi_14": Feature(15, lambda b: money_flow(b, 14), "money flow index / 100, Quong & Soudack", VOLUME),
    "aroon_25": _scaled("AROONOSC", HL, 26, "Aroon oscillator / 100, Chande (1995)", 100, timeperiod=25),
    "aroon_down_25": _scaled(
        "AROON", HL, 26, "1 - bars since the lowest low / 25, Chande (1995)", 100, 0, timeperiod=25
    ),
    "aroon_up_25": _scaled(
        "AROON", HL, 26, "1 - bars since the highest high / 25, Chande (1995)", 100, 1, timeperiod=25
    ),
    "stochastic_k_14": _scaled("STOCH", HLC, 18, "slow stochastic %K / 100, Lane", 100, 0, fastk_period=14),
    "stochastic_d_14": _scaled("STOCH", HLC, 18, "slow stochastic %D / 100, Lane", 100, 1, fastk_period=14),
    "stochastic_fast_14": _scaled("STOCHF", HLC, 16, "fast stochastic %K / 100, Lane", 100, 0, fastk_period=14),
    "stochastic_rsi_14": _scaled(
        "STOCHRSI", "close", W14 + 15, "stochastic %K of RSI / 100, Chande & Kroll (1994)", 100, 0, timeperiod=14
    ),
    "cmo_14": _scaled("CMO", "close", W14, "momentum oscillator / 100, Chande (1994)", 100, timeperiod=14),
    "ultimate_7_14_28": _scaled("ULTOSC", HLC, 29, "ultimate oscillator / 100, Williams (1985)", 100),
    "trix_9": _scaled("TRIX", "close", 3 * EMA_SPANS * 9, "one-bar change in % of a triple EMA, Hutson", timeperiod=9),
    "balance_of_power": _scaled("BOP", OHLC, 1, "(close - open) / (high - low), Livshin (2001)"),
    "intraday_momentum_14": _scaled(
        "IMI", "open close", 14, "intraday momentum index / 100, Chande", 100, timeperiod=14
    ),
    "momentum_10": _to_close("MOM", "close", 11, "close - close 10 bars ago", timeperiod=10),
    # Averages
    "close_to_ema_12": _close_against("EMA", "close", EMA_SPANS * 12, "exponential mean", timeperiod=12),
    "close_to_ema_26": _close_against("EMA", "close", EMA_SPANS * 26, "exponential mean", timeperiod=26),
    "close_to_wma_20": _close_against("WMA", "close", 20, "linearly weighted mean", timeperiod=20),
    "close_to_dema_12": _close_against("DEMA", "close", 100, "double exponential mean, Mulloy (1994)", timeperiod=12),
    "close_to_tema_12": _close_against("TEMA", "close", 130, "triple exponential mean, Mulloy (1994)", timeperiod=12),
    "close_to_trima_20": _close_against("TRIMA", "close", 20, "triangular mean", timeperiod=20),
    "close_to_kama_10": _close_against("KAMA", "close", 60, "adaptive mean, Kaufman (1995)", timeperiod=10),
    "close_to_t3_5": _close_against("T3", "close", 60, "smoothed mean T3, Tillson (1998)", timeperiod=5),
    "close_to_mama": _close_against("MAMA", "close", 64, "MESA adaptive mean, Ehlers (2001)", output=0),
    "close_to_fama": _close_against("MAMA", "close", 64, "following MESA adaptive mean, Ehlers (2001)", output=1),
    "close_to_ht_trendline": _close_against("HT_TRENDLINE", "close", 96, "Hilbert trendline, Ehlers (2001)"),
    "close_to_midpoint_14": _close_against("MIDPOINT", "close", 14, "mean of highest and lowest close", timeperiod=14),
    "close_to_midprice_14": _close_against("MIDPRICE", HL, 14, "mean of highest high and lowest low", timeperiod=14),
    "close_to_typical": _close_against("TYPPRICE", HLC, 1, "(high + low + close) / 3"),
    "close_to_average": _close_against("AVGPRICE", OHLC, 1, "(open + high + low + close) / 4"),
    "close_to_forecast_14": _close_against("TSF", "close", 14, "next value on the line of 14 closes", timeperiod=14),
    "sar": _sar(60),
    "bollinger_20": _bollinger(20),
    "bollinger_width_20": _band_width(20),
    # Volatility, cycle and statistics
    "atr_14": _to_close("ATR", HLC, W14, "average true range, Wilder (1978)", timeperiod=14),
    "true_range": _to_close("TRANGE", HLC, 2, "true range, Wilder (1978)"),
    "average_deviation_20": _to_close("AVGDEV", "close", 20, "mean absolute deviation of 20 closes", timeperiod=20),
    "slope_14": _to_close("LINEARREG_SLOPE", "close", 14, "slope a bar of the line through 14 closes", timeperiod=14),
    "slope_50": _to_close("LINEARREG_SLOPE", "close", 50, "slope a bar of the line through 50 closes", timeperiod=50),
    "cycle_period": _scaled("HT_DCPERIOD", "close", 64, "dominant cycle in bars / 50, Hilbert transform, Ehlers", 50),
    "high_low_correlation_30": _scaled("CORREL", HL, 30, "correlation of 30 highs and lows", timeperiod=30),
    # Volume
    "obv_20": _per_volume("OBV", "close volume", 20, "on-balance volume of 20 bars, Granville (1963)"),
    "accumulation_20": _per_volume("AD", HLCV, 20, "accumulation/distribution of 20 bars, Chaikin"),
    "chaikin_3_10": _per_volume("ADOSC", HLCV, 50, "EMA 3 - EMA 10 of accumulation/distribution, Chaikin"),
}
