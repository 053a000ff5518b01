"""A bundle behind the serving model as an MLflow model: code and data, with signature and input example."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

from MLOps.artifacts import read_json
from MLOps.data.bars import KEYS
from MLOps.experiment_tracking.runs import Run
from MLOps.predictors.signals import PROBABILITY

CODE = Path(__file__).with_name("serving_model.py")


def log_serving_model(run: Run, bundle: Path, bars: pd.DataFrame) -> str:
    """Log the bundle behind the serving model; `bars` are an example request. Returns the model's URI."""
    metadata = read_json(bundle / "metadata.json")
    example = bars.assign(timestamp=bars["timestamp"].map(lambda t: t.isoformat()))
    signature = serving_signature(metadata, example.columns)
    return run.log_model("trading_model", CODE, {"bundle": bundle}, signature, example)


def serving_signature(metadata: dict[str, dict[str, Any]], columns: Iterable[str]) -> ModelSignature:
    """Bars in `columns` in, decisions out; cash and positions to decide for are parameters."""
    probabilities = [PROBABILITY + name for name in metadata["ensemble"]["class_names"]]
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.string if name in KEYS else DataType.double, name) for name in columns]),
        outputs=Schema(
            [
                *(ColSpec(DataType.string, name) for name in ("symbol", "timestamp")),
                ColSpec(DataType.string if metadata["trading"]["scheme"] == "discrete" else DataType.double, "action"),
                ColSpec(DataType.double, "target_position"),
                *(ColSpec(DataType.double, name, required=False) for name in ("stop_loss", "take_profit")),
                *(ColSpec(DataType.double, name) for name in (*probabilities, "uncertainty")),
                ColSpec(DataType.string, "bundle"),
            ]
        ),
        params=ParamSchema(
            [
                ParamSpec("cash", DataType.double, metadata["trading"]["initial_cash"]),
                ParamSpec("positions", DataType.string, "{}"),
            ]
        ),
    )
