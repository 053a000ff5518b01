"""Explanation of one forecast of any predictor by occlusion (Zeiler & Fergus, 2014)."""

import numpy as np

from MLOps.predictors.contract import Predictor


def occlusion(predictor: Predictor, window: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """(features,): how far the probability of the forecast class falls when a feature's bars are as usual.

    Args:
        window: (bars, features) raw; its most probable class is explained.
        usual: (bars, features), such as the median of many windows.
    """
    features = window.shape[1]
    windows = np.repeat(window[None], features + 1, axis=0)
    for feature in range(features):
        windows[feature + 1, :, feature] = usual[:, feature]
    probabilities = predictor.predict(windows).probabilities.astype(float)
    chosen = probabilities[:, probabilities[0].argmax()]
    return chosen[0] - chosen[1:]
