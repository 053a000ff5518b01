"""Persistence as a predictor: what moved last goes on, as far as it did in training."""

import numpy as np

from MLOps.config.predictors import PersistenceConfig
from MLOps.config.schema import suggest
from MLOps.errors import UserError
from MLOps.predictors.baselines import class_prior, persist, persistence
from MLOps.predictors.contract import Forecast, Targets
from MLOps.predictors.solved import SolvedPredictor
from MLOps.predictors.windows import Windows


class PersistencePredictor(SolvedPredictor):
    """A predictor sees features only, so the newest move is told by one of them.

    It is classed as labels are: `cuts` (classes - 1,) leave each class the share that it has in training. `transitions`
    (classes + 1, classes) are the shares of what followed, as `baselines.persistence` has them.
    """

    @classmethod
    def solve(
        cls, config: PersistenceConfig, windows: Windows, targets: Targets, rows: np.ndarray, seed: int
    ) -> dict[str, np.ndarray]:
        if config.feature not in windows.names:
            raise UserError(
                f"predictors: persistence: unknown feature {config.feature!r}; {suggest(config.feature, windows.names)}"
            )
        column = windows.names.index(config.feature)
        moves, classes = windows.values[rows, column].astype(np.float64), targets.classes[rows]
        cuts = np.quantile(moves, np.cumsum(class_prior(classes, targets.class_count))[:-1])
        return {
            "column": np.array([column]),
            "cuts": cuts,
            "transitions": persistence(np.searchsorted(cuts, moves), classes, targets.class_count),
            "class_returns": targets.class_returns(rows),
        }

    def predict(self, windows: np.ndarray) -> Forecast:
        moves = windows[:, -1, self.arrays["column"].item()].astype(np.float64)
        probabilities = persist(self.arrays["transitions"], np.searchsorted(self.arrays["cuts"], moves))
        return Forecast.from_probabilities(probabilities, self.arrays["class_returns"])
