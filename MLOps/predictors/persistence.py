"""Persistence as a predictor: class frequencies given the class of the newest move."""

import numpy as np

from MLOps.config.predictors import PersistenceConfig
from MLOps.config.schema import suggest
from MLOps.errors import UserError
from MLOps.predictors.baselines import class_prior, persist, persistence
from MLOps.predictors.closed_form import ClosedFormPredictor
from MLOps.predictors.contract import Forecast
from MLOps.predictors.learning import LearningData


class PersistencePredictor(ClosedFormPredictor):
    """Predictors see features only, so one feature represents the newest move.

    It is classified like the labels: `cuts` (classes - 1,) give each class its frequency in training. `transitions`
    (classes + 1, classes) are the frequencies of the following classes, see `baselines.persistence`.
    """

    @classmethod
    def solve(cls, config: PersistenceConfig, data: LearningData, rows: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        names = data.windows.names
        if config.feature not in names:
            raise UserError(
                f"predictors: persistence: unknown feature {config.feature!r}; {suggest(config.feature, names)}"
            )
        column = names.index(config.feature)
        moves, classes = data.windows.values[rows, column].astype(np.float64), data.targets.labels[rows]
        cuts = np.quantile(moves, np.cumsum(class_prior(classes, data.targets.n_classes))[:-1])
        return {
            "column": np.array([column]),
            "cuts": cuts,
            "transitions": persistence(np.searchsorted(cuts, moves), classes, data.targets.n_classes),
            "class_returns": data.targets.class_returns(rows),
        }

    def predict(self, windows: np.ndarray) -> Forecast:
        moves = windows[:, -1, self.arrays["column"].item()].astype(np.float64)
        probabilities = persist(self.arrays["transitions"], np.searchsorted(self.arrays["cuts"], moves))
        return Forecast.from_probabilities(probabilities, self.arrays["class_returns"])
