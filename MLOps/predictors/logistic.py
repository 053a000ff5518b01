"""Multinomial logistic regression on the flattened window, fitted by scikit-learn and stored as coefficients."""

import numpy as np

from MLOps.config.predictors import LogisticConfig
from MLOps.predictors.closed_form import ClosedFormPredictor, flattened, scaler_arrays
from MLOps.predictors.contract import Forecast, class_probabilities
from MLOps.predictors.learning import LearningData


class LogisticPredictor(ClosedFormPredictor):
    """`coefficients` (scores, bars * features) and `intercepts` (scores,): one score per class, or a single one for two
    classes; see `class_probabilities`. `class_returns` (classes,)."""

    @classmethod
    def solve(cls, config: LogisticConfig, data: LearningData, rows: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        # Imported here because it takes a second and a served model never fits.
        from sklearn.linear_model import LogisticRegression

        arrays = scaler_arrays(data.windows.fit_scaler(rows))
        inputs = flattened(data.windows.ending_at(rows), arrays)
        model = LogisticRegression(C=1 / config.l2_penalty, max_iter=1000).fit(inputs, data.targets.labels[rows])
        return {
            **arrays,
            "coefficients": model.coef_,
            "intercepts": model.intercept_,
            "class_returns": data.targets.class_returns(rows),
        }

    def attribution(self, windows: np.ndarray) -> np.ndarray:
        """Of the score of the most probable class; these are its integrated gradients, which for a linear score are
        input times coefficient."""
        inputs, coefficients = flattened(windows, self.arrays), self.arrays["coefficients"]
        scores = inputs @ coefficients.T + self.arrays["intercepts"]
        chosen = scores.argmax(axis=1)  # of two classes there is one score, of which either class takes the size
        return np.abs(inputs * coefficients[chosen]).mean(axis=0).reshape(windows.shape[1:])

    def predict(self, windows: np.ndarray) -> Forecast:
        inputs = flattened(windows, self.arrays)
        scores = inputs @ self.arrays["coefficients"].T + self.arrays["intercepts"]
        return Forecast.from_probabilities(class_probabilities(scores), self.arrays["class_returns"])
