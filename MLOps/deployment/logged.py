"""Predictors, agents and the serving model as MLflow models: code and data, with signature and input example."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

from MLOps.artifacts import read_json
from MLOps.data.bars import KEYS
from MLOps.experiment_tracking.runs import Run
from MLOps.predictors import load_predictor
from MLOps.predictors.signals import PROBABILITY

HERE = Path(__file__).parent


def log_predictor(run: Run, folder: Path, features: int) -> None:
    """Log the predictor saved in `folder`: windows (n, lookback_bars, features) in, probabilities (n, classes) out."""
    example = np.zeros((2, load_predictor(folder).lookback_bars, features), np.float32)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(example.dtype, (-1, *example.shape[1:]))]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, -1))]),
    )
    run.log_model("predictor", HERE / "predictor_model.py", {"predictor": folder}, signature, example)


def log_agent(run: Run, folder: Path) -> None:
    """Log the agent saved in `folder`: observations (n, columns) in, actions (n,) out."""
    example = np.zeros((2, len(read_json(folder / "agent.json")["columns"])), np.float32)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(example.dtype, (-1, example.shape[1]))]),
        outputs=Schema([TensorSpec(np.dtype(np.int64), (-1,))]),
    )
    run.log_model("agent", HERE / "agent_model.py", {"agent": folder}, signature, example)


def log_serving_model(run: Run, bundle: Path, bars: pd.DataFrame) -> str:
    """Log the bundle behind the serving model; `bars` are an example request. Returns the model's URI."""
    facts = read_json(bundle / "facts.json")
    example = bars.assign(timestamp=bars["timestamp"].map(lambda t: t.isoformat()))
    signature = serving_signature(facts, example.columns)
    return run.log_model("trading_model", HERE / "serving_model.py", {"bundle": bundle}, signature, example)


def serving_signature(facts: dict[str, dict[str, Any]], columns: Iterable[str]) -> ModelSignature:
    """Bars in, in `columns`; decisions out; the cash and the positions that a decision shall assume as parameters."""
    probabilities = [PROBABILITY + name for name in facts["ensemble"]["classes"]]
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.string if name in KEYS else DataType.double, name) for name in columns]),
        outputs=Schema(
            [
                *(ColSpec(DataType.string, name) for name in ("symbol", "timestamp", "action")),
                ColSpec(DataType.double, "target_position"),
                *(ColSpec(DataType.double, name, required=False) for name in ("stop_loss", "take_profit")),
                *(ColSpec(DataType.double, name) for name in (*probabilities, "uncertainty")),
                ColSpec(DataType.string, "bundle"),
            ]
        ),
        params=ParamSchema(
            [
                ParamSpec("cash", DataType.double, facts["trading"]["initial_cash"]),
                ParamSpec("positions", DataType.string, "{}"),
            ]
        ),
    )
