"""Permutation importance of the parts of a predictor's windows (Breiman, 2001)."""

from typing import Any

import numpy as np

from MLOps.predictors.contract import Predictor
from MLOps.statistics.forecasts import log_losses


def permutation_importance(
    predictor: Predictor, windows: np.ndarray, labels: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Increase of the log loss, in nats, when a part of the windows is permuted across windows.

    Args:
        windows: raw, (n, bars, features) float32.
        labels: (n,) of the windows.

    Returns:
        The increase for each feature at all bars, (features,), and for each bar of all features, (bars,).
    """
    generator = np.random.default_rng(seed)

    def loss(given: np.ndarray) -> float:
        return float(log_losses(predictor.predict(given).probabilities, labels).mean())

    whole = loss(windows)

    def rise(part: tuple[Any, ...]) -> float:
        shuffled = windows.copy()
        shuffled[part] = windows[part][generator.permutation(len(windows))]
        return loss(shuffled) - whole

    _, bars, features = windows.shape
    everything = slice(None)
    return (
        np.array([rise((everything, everything, feature)) for feature in range(features)]),
        np.array([rise((everything, bar)) for bar in range(bars)]),
    )
