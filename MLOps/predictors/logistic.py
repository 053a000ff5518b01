"""Multinomial logistic regression on the flattened window, fitted by scikit-learn and kept as plain coefficients."""

import numpy as np
from scipy.special import softmax

from MLOps.config.predictors import LogisticConfig
from MLOps.predictors.contract import Forecast, Targets
from MLOps.predictors.solved import SolvedPredictor, flattened, scaler_arrays
from MLOps.predictors.windows import Windows


class LogisticPredictor(SolvedPredictor):
    """`coefficients` (classes, bars * features), `intercepts` and `class_returns` (classes,)."""

    @classmethod
    def solve(
        cls, config: LogisticConfig, windows: Windows, targets: Targets, rows: np.ndarray, seed: int
    ) -> dict[str, np.ndarray]:
        # scikit-learn takes a second to import and a served model never fits.
        from sklearn.linear_model import LogisticRegression

        arrays = scaler_arrays(windows.fit_scaler(rows))
        inputs = flattened(windows.ending_at(rows), arrays)
        model = LogisticRegression(C=config.regularisation_c, max_iter=1000).fit(inputs, targets.classes[rows])
        return {
            **arrays,
            "coefficients": model.coef_,
            "intercepts": model.intercept_,
            "class_returns": targets.class_returns(rows),
        }

    def predict(self, windows: np.ndarray) -> Forecast:
        inputs = flattened(windows, self.arrays)
        probabilities = softmax(inputs @ self.arrays["coefficients"].T + self.arrays["intercepts"], axis=1)
        return Forecast.from_probabilities(probabilities, self.arrays["class_returns"])
