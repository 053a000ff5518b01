"""The code of a predictor logged to MLflow; MLflow runs this file when it loads the model."""

from pathlib import Path
from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from MLOps.predictors.kinds import load_predictor


class PredictorModel(PythonModel):
    """Raw feature windows (n, lookback_bars, features) float32 to class probabilities (n, classes)."""

    def load_context(self, context: Any) -> None:
        self._predictor = load_predictor(Path(context.artifacts["predictor"]))

    def predict(self, context: Any, model_input: np.ndarray, params: dict[str, Any] | None = None) -> np.ndarray:
        return self._predictor.predict(model_input).probabilities


set_model(PredictorModel())
