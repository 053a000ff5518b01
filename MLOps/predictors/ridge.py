"""Ridge regression of the next return on the flattened window (Hoerl & Kennard, 1970), by scikit-learn."""

import numpy as np

from MLOps.config.predictors import RidgeConfig
from MLOps.predictors.calibration import ReturnClasses
from MLOps.predictors.closed_form import ClosedFormPredictor, flattened, scaler_arrays
from MLOps.predictors.contract import Forecast, relative_entropy
from MLOps.predictors.learning import LearningData


class RidgePredictor(ClosedFormPredictor):
    """`coefficients` (bars * features,) and `intercept` (1,) give the return, `ReturnClasses` the probabilities."""

    @classmethod
    def solve(cls, config: RidgeConfig, data: LearningData, rows: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        # Imported here because it takes a second and a served model never fits.
        from sklearn.linear_model import Ridge

        arrays = scaler_arrays(data.windows.fit_scaler(rows))
        inputs = flattened(data.windows.ending_at(rows), arrays)
        model = Ridge(alpha=config.l2_penalty, solver="cholesky").fit(inputs, data.targets.returns[rows])
        told = ReturnClasses.fit(model.predict(inputs), data.targets.labels[rows], data.targets.n_classes)
        return {
            **arrays,
            "coefficients": model.coef_,
            "intercept": np.array([model.intercept_]),
            "shares": told.shares,
            "means": told.means,
            "variance": np.array([told.variance]),
        }

    def attribution(self, windows: np.ndarray) -> np.ndarray:
        """Of the expected return."""
        parts = flattened(windows, self.arrays) * self.arrays["coefficients"]
        return np.abs(parts).mean(axis=0).reshape(windows.shape[1:])

    def predict(self, windows: np.ndarray) -> Forecast:
        expected = flattened(windows, self.arrays) @ self.arrays["coefficients"] + self.arrays["intercept"]
        told = ReturnClasses(self.arrays["shares"], self.arrays["means"], self.arrays["variance"].item())
        probabilities = told.probabilities(expected)
        return Forecast.rounded(probabilities, expected, relative_entropy(probabilities))
