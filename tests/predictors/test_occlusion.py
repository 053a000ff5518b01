"""Occlusion of a forecast whose causes are known."""

import numpy as np
from scipy.special import expit

from MLOps.predictors.contract import Forecast
from MLOps.predictors.occlusion import occlusion


class OnlyTheFirstFeature:
    """The probability of the second class rises with the newest value of the first feature."""

    def predict(self, windows: np.ndarray) -> Forecast:
        rise = expit(windows[:, -1, 0].astype(float))
        return Forecast.from_probabilities(np.stack([1 - rise, rise], axis=1), np.array([-0.01, 0.01]))


def test_the_feature_that_decides_is_named_and_no_other() -> None:
    window = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    window[-1, 0] = 2.0
    fall = occlusion(OnlyTheFirstFeature(), window, np.zeros((5, 4)))  # type: ignore[arg-type]
    np.testing.assert_allclose(fall, [expit(2.0) - 0.5, 0, 0, 0], atol=1e-6)
    window[-1, 0] = -2.0
    fall = occlusion(OnlyTheFirstFeature(), window, np.zeros((5, 4)))  # type: ignore[arg-type]
    np.testing.assert_allclose(fall, [expit(2.0) - 0.5, 0, 0, 0], atol=1e-6)
