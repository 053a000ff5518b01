"""Volatility per bar, from closes and from ranges."""

import numpy as np

from MLOps.features.feature import Feature, SymbolBars
from MLOps.features.windows import rolling_mean, rolling_std


def _close_to_close(bars: int) -> Feature:
    return Feature(
        bars + 1, lambda b: rolling_std(b.log_return, bars), f"standard deviation of the last {bars} log returns"
    )


def _parkinson(bars: int) -> Feature:
    return Feature(
        bars,
        lambda b: np.sqrt(rolling_mean(np.log(b.high / b.low) ** 2, bars) / (4 * np.log(2))),
        "sqrt(mean(log(high / low)²) / (4 log 2)), Parkinson (1980)",
    )


def _garman_klass(bars: int) -> Feature:
    def compute(b: SymbolBars) -> np.ndarray:
        term = 0.5 * np.log(b.high / b.low) ** 2 - (2 * np.log(2) - 1) * np.log(b.close / b.open) ** 2
        return np.sqrt(np.maximum(rolling_mean(term, bars), 0.0))

    return Feature(
        bars, compute, "sqrt(mean(log(high / low)² / 2 - (2 log 2 - 1) log(close / open)²)), Garman & Klass (1980)"
    )


def _rogers_satchell_terms(b: SymbolBars) -> np.ndarray:
    up, down = np.log(b.high / b.open), np.log(b.low / b.open)
    body = np.log(b.close / b.open)
    return up * (up - body) + down * (down - body)


def _rogers_satchell(bars: int) -> Feature:
    return Feature(
        bars,
        lambda b: np.sqrt(np.maximum(rolling_mean(_rogers_satchell_terms(b), bars), 0.0)),
        "sqrt(mean(h(h - c) + l(l - c))) with logs against the open, Rogers & Satchell (1991)",
    )


def _yang_zhang(bars: int) -> Feature:
    """Independent of drift and of jumps at the open."""

    def compute(b: SymbolBars) -> np.ndarray:
        overnight = np.full(len(b.close), np.nan)
        overnight[1:] = np.log(b.open[1:] / b.close[:-1])
        weight = 0.34 / (1.34 + (bars + 1) / (bars - 1))
        variance = (
            rolling_std(overnight, bars) ** 2
            + weight * rolling_std(np.log(b.close / b.open), bars) ** 2
            + (1 - weight) * rolling_mean(_rogers_satchell_terms(b), bars)
        )
        return np.sqrt(np.maximum(variance, 0.0))

    return Feature(
        bars + 1, compute, "sqrt(overnight + k·open-to-close + (1 - k)·Rogers-Satchell variance), Yang & Zhang (2000)"
    )


def _downside(bars: int) -> Feature:
    return Feature(
        bars + 1,
        lambda b: np.sqrt(rolling_mean(np.minimum(b.log_return, 0.0) ** 2, bars)),
        f"sqrt(mean(min(r, 0)²)) of the last {bars} log returns, Sortino & van der Meer (1991)",
    )


def _bipower(bars: int) -> Feature:
    """Robust to single jumps, unlike the variance."""

    def compute(b: SymbolBars) -> np.ndarray:
        size = np.abs(b.log_return)
        products = np.full(len(size), np.nan)
        products[1:] = size[1:] * size[:-1]
        return np.sqrt(np.pi / 2 * rolling_mean(products, bars))

    return Feature(bars + 2, compute, "sqrt(π/2 · mean(abs(r · r before))), Barndorff-Nielsen & Shephard (2004)")


def _ratio(short: int, long: int) -> Feature:
    """1 if returns are constant."""

    def compute(b: SymbolBars) -> np.ndarray:
        below = rolling_std(b.log_return, long)
        above = rolling_std(b.log_return, short)
        return np.where(below > 0, above / np.where(below > 0, below, 1), 1.0 + 0.0 * below)

    return Feature(long + 1, compute, f"volatility of {short} bars / volatility of {long} bars")


def _of_volatility(short: int, long: int) -> Feature:
    return Feature(
        short + long,
        lambda b: rolling_std(rolling_std(b.log_return, short), long),
        f"standard deviation over {long} bars of the volatility of {short} bars",
    )


FEATURES: dict[str, Feature] = {
    "volatility_5": _close_to_close(5),
    "volatility_20": _close_to_close(20),
    "volatility_60": _close_to_close(60),
    "parkinson_20": _parkinson(20),
    "garman_klass_20": _garman_klass(20),
    "rogers_satchell_20": _rogers_satchell(20),
    "yang_zhang_20": _yang_zhang(20),
    "downside_volatility_20": _downside(20),
    "bipower_volatility_20": _bipower(20),
    "volatility_ratio_5_60": _ratio(5, 60),
    "volatility_of_volatility_10_40": _of_volatility(10, 40),
}
