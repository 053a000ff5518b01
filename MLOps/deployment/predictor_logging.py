"""A trained predictor as an MLflow model: code and data, with signature and input example."""

from pathlib import Path

import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

from MLOps.experiment_tracking.runs import Run

CODE = Path(__file__).with_name("predictor_model.py")


def log_predictor(run: Run, folder: Path, lookback_bars: int, n_features: int) -> None:
    """Log the predictor saved in `folder`: windows (n, lookback_bars, features) in, probabilities (n, classes) out."""
    example = np.zeros((2, lookback_bars, n_features), np.float32)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(example.dtype, (-1, *example.shape[1:]))]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, -1))]),
    )
    run.log_model("predictor", CODE, {"predictor": folder}, signature, example)
