"""The class prior as a predictor: every forecast is the frequencies of the classes in training."""

import numpy as np

from MLOps.config.predictors import ClassPriorConfig
from MLOps.predictors.baselines import class_prior
from MLOps.predictors.closed_form import ClosedFormPredictor
from MLOps.predictors.contract import Forecast
from MLOps.predictors.learning import LearningData


class ClassPriorPredictor(ClosedFormPredictor):
    """`shares` and `class_returns` are (classes,)."""

    @classmethod
    def solve(cls, config: ClassPriorConfig, data: LearningData, rows: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        shares = class_prior(data.targets.labels[rows], data.targets.n_classes)
        return {"shares": shares, "class_returns": data.targets.class_returns(rows)}

    def predict(self, windows: np.ndarray) -> Forecast:
        shares = np.tile(self.arrays["shares"], (len(windows), 1))
        return Forecast.from_probabilities(shares, self.arrays["class_returns"])
