"""Spectral features of the window of log returns that ends at the bar: shares of power from slow to fast cycles."""

from collections.abc import Callable

import numpy as np

from MLOps.features.feature import Feature, SymbolBars
from MLOps.features.windows import every_window

BARS = 64
# Bins of a transform over BARS: bin k has a period of BARS / k bars.
SLOW, MIDDLE, FAST = slice(1, 5), slice(5, 17), slice(17, 33)


def _spectrum(b: SymbolBars) -> tuple[np.ndarray, ...]:
    """Share of the power in each bin (bars, 33), 0 if returns are constant; and the transform itself."""

    def compute() -> tuple[np.ndarray, ...]:
        windows = every_window(b.log_return, BARS)
        transform = np.fft.rfft(windows - windows.mean(axis=1, keepdims=True), axis=1)
        power = transform.real**2 + transform.imag**2
        # The mean is removed up to rounding error.
        power[:, 0] = np.where(np.isnan(power[:, 0]), np.nan, 0.0)
        total = power.sum(axis=1, keepdims=True)
        return np.where(total == 0, 0.0, power / np.where(total == 0, 1.0, total)), transform

    return b.once("spectrum", compute)


def _share(bins: slice) -> Callable[[SymbolBars], np.ndarray]:
    return lambda b: _spectrum(b)[0][:, bins].sum(axis=1)


def _entropy(b: SymbolBars) -> np.ndarray:
    shares = _spectrum(b)[0][:, 1:]
    return -np.sum(shares * np.log(np.maximum(shares, 1e-300)), axis=1) / np.log(shares.shape[1])


def _strongest(b: SymbolBars) -> np.ndarray:
    """Index of the strongest bin, 1 or more."""
    return 1 + np.argmax(_spectrum(b)[0][:, 1:], axis=1)


def _known(b: SymbolBars, values: np.ndarray) -> np.ndarray:
    """`values`, NaN where the window contains NaN, since argmax treats NaN as the largest value."""
    return np.where(np.isnan(_spectrum(b)[0][:, 0]), np.nan, values)


def _phase(b: SymbolBars) -> np.ndarray:
    strongest = _strongest(b)
    term = _spectrum(b)[1][np.arange(len(strongest)), strongest]
    return np.cos(np.angle(term) + 2 * np.pi * strongest * (BARS - 1) / BARS)


FEATURES: dict[str, Feature] = {
    "fourier_slow": Feature(
        BARS + 1, _share(SLOW), f"share of the power of {BARS} log returns in periods of 16 bars and more"
    ),
    "fourier_middle": Feature(
        BARS + 1, _share(MIDDLE), f"share of the power of {BARS} log returns in periods of 4 to 13 bars"
    ),
    "fourier_fast": Feature(
        BARS + 1, _share(FAST), f"share of the power of {BARS} log returns in periods below 4 bars"
    ),
    "fourier_entropy": Feature(BARS + 1, _entropy, "entropy of the shares of power / its largest (spectral entropy)"),
    "fourier_period": Feature(
        BARS + 1,
        lambda b: _known(b, np.log2(BARS / _strongest(b))),
        "log2 of the period, in bars, of the strongest bin",
    ),
    "fourier_phase": Feature(
        BARS + 1, lambda b: _known(b, _phase(b)), "cosine of the strongest bin's phase at the bar: 1 at its crest"
    ),
}
