"""Ridge regression of the next return on the flattened window (Hoerl & Kennard, 1970), by scikit-learn."""

import numpy as np

from MLOps.config.predictors import RidgeConfig
from MLOps.predictors.calibration import ReturnClasses
from MLOps.predictors.contract import Forecast, Targets, relative_entropy
from MLOps.predictors.solved import SolvedPredictor, flattened, scaler_arrays
from MLOps.predictors.windows import Windows


class RidgePredictor(SolvedPredictor):
    """`coefficients` (bars * features,) and `intercept` (1,) give the return; `ReturnClasses` tell classes from it."""

    @classmethod
    def solve(
        cls, config: RidgeConfig, windows: Windows, targets: Targets, rows: np.ndarray, seed: int
    ) -> dict[str, np.ndarray]:
        # scikit-learn takes a second to import and a served model never fits.
        from sklearn.linear_model import Ridge

        arrays = scaler_arrays(windows.fit_scaler(rows))
        inputs = flattened(windows.ending_at(rows), arrays)
        model = Ridge(alpha=config.regularisation_alpha, solver="cholesky").fit(inputs, targets.returns[rows])
        told = ReturnClasses.fit(model.predict(inputs), targets.classes[rows], targets.class_count)
        return {
            **arrays,
            "coefficients": model.coef_,
            "intercept": np.array([model.intercept_]),
            "shares": told.shares,
            "means": told.means,
            "variance": np.array([told.variance]),
        }

    def predict(self, windows: np.ndarray) -> Forecast:
        expected = flattened(windows, self.arrays) @ self.arrays["coefficients"] + self.arrays["intercept"]
        told = ReturnClasses(self.arrays["shares"], self.arrays["means"], self.arrays["variance"].item())
        probabilities = told.probabilities(expected)
        return Forecast.rounded(probabilities, expected, relative_entropy(probabilities))
