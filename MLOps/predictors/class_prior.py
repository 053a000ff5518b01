"""The class prior as a predictor: every window gets the shares of the classes in training."""

import numpy as np

from MLOps.config.predictors import ClassPriorConfig
from MLOps.predictors.baselines import class_prior
from MLOps.predictors.contract import Forecast, Targets
from MLOps.predictors.solved import SolvedPredictor
from MLOps.predictors.windows import Windows


class ClassPriorPredictor(SolvedPredictor):
    """`shares` and `class_returns` are (classes,)."""

    @classmethod
    def solve(
        cls, config: ClassPriorConfig, windows: Windows, targets: Targets, rows: np.ndarray, seed: int
    ) -> dict[str, np.ndarray]:
        shares = class_prior(targets.classes[rows], targets.class_count)
        return {"shares": shares, "class_returns": targets.class_returns(rows)}

    def predict(self, windows: np.ndarray) -> Forecast:
        shares = np.tile(self.arrays["shares"], (len(windows), 1))
        return Forecast.from_probabilities(shares, self.arrays["class_returns"])
