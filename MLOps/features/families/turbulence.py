"""Turbulence of the universe's returns relative to preceding ones; the same for every symbol at a timestamp."""

import numpy as np

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
