"""Wavelet features of a window that ends at the bar (PyWavelets): shares of energy by scale, and deviation from trend.

In a decomposition of the whole history, later bars would influence earlier coefficients; so each bar's window is
decomposed separately.
"""

from collections.abc import Callable

import numpy as np
import pywt

from MLOps.features.feature import Feature, SymbolBars
from MLOps.features.windows import every_window

BARS = 64
LEVELS = 4
WAVELET = "db2"  # Daubechies (1988), two vanishing moments: the longest whose filters fit LEVELS times into BARS


def _energy_shares(b: SymbolBars) -> tuple[np.ndarray, ...]:
    """Shares of the window's energy in the details of levels 1 to LEVELS and in the rest; all 0 if it is constant."""

    def compute() -> tuple[np.ndarray, ...]:
        windows = every_window(b.log_return, BARS)
        # Undecimated, so that a cycle's scale does not depend on its phase; normalised, so that energy is preserved.
        rest, *details = pywt.swt(windows, WAVELET, level=LEVELS, axis=1, trim_approx=True, norm=True)
        energies = [np.sum(part**2, axis=1) for part in (*reversed(details), rest)]
        total = sum(energies)
        return tuple(np.where(total == 0, 0.0, energy / np.where(total == 0, 1.0, total)) for energy in energies)

    return b.once("wavelet energies", compute)


def _share(level: int) -> Callable[[SymbolBars], np.ndarray]:
    return lambda b: _energy_shares(b)[level - 1]


def _entropy(b: SymbolBars) -> np.ndarray:
    shares = np.stack(_energy_shares(b))
    return -np.sum(shares * np.log(np.maximum(shares, 1e-300)), axis=0) / np.log(len(shares))


def _above_trend(b: SymbolBars) -> np.ndarray:
    levels = np.log(b.close)
    # The newest log close is subtracted to remove the price level.
    windows = every_window(levels, BARS) - levels[:, None]
    smooth, *details = pywt.wavedec(windows, WAVELET, mode="symmetric", level=3, axis=1)
    trend = pywt.waverec([smooth, *(np.zeros_like(part) for part in details)], WAVELET, mode="symmetric", axis=1)
    return -trend[:, BARS - 1]


FEATURES: dict[str, Feature] = {
    **{
        f"wavelet_energy_{level}": Feature(
            BARS + 1,
            _share(level),
            f"share of the energy of {BARS} log returns at scales of {2**level} to {2 ** (level + 1)} bars, "
            f"undecimated {WAVELET}",
        )
        for level in range(1, LEVELS + 1)
    },
    "wavelet_entropy": Feature(
        BARS + 1, _entropy, f"entropy of the shares of {LEVELS} scales and the rest / its largest, {WAVELET}"
    ),
    "wavelet_above_trend": Feature(
        BARS, _above_trend, f"log close - its smooth part of level 3 in {BARS} bars, {WAVELET}, mirrored at the ends"
    ),
}
