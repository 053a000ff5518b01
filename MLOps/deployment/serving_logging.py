"""A bundle behind the serving model as an MLflow model: code and data, with signature and input example."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

from MLOps.data.bars import KEYS
from MLOps.deployment.trading_model import TradingModel
from MLOps.experiment_tracking.runs import Run
from MLOps.predictors.signals import PROBABILITY

CODE = Path(__file__).with_name("serving_model.py")


def log_serving_model(run: Run, bundle: Path, model: TradingModel, bars: pd.DataFrame) -> str:
    """Log a bundle behind the serving model. Returns the model's URI.

    Args:
        bundle: its folder.
        model: the bundle, loaded.
        bars: an example request.
    """
    example = bars.assign(timestamp=bars["timestamp"].map(lambda t: t.isoformat()))
    return run.log_model("trading_model", CODE, {"bundle": bundle}, serving_signature(model, example.columns), example)


def serving_signature(model: TradingModel, columns: Iterable[str]) -> ModelSignature:
    """Bars in `columns` in, decisions out; cash, positions and recurrent state to decide for are parameters.

    MLflow answers a request that lacks a required column with a dump of the request. The columns are therefore not
    marked as required: the model asks for those that it needs, in a sentence.
    """
    probabilities = [PROBABILITY + name for name in model.ensemble.class_names]
    is_discrete, is_recurrent = model.trading.scheme == "discrete", model.agent.state_width > 0
    params = [
        ParamSpec(model.cash_parameter, DataType.double, model.trading.initial_cash),
        ParamSpec("positions", DataType.string, "{}"),
        ParamSpec("account", DataType.string, ""),
    ]
    if is_recurrent and model.agent.symbols:
        params.append(ParamSpec("agent_state", DataType.string, "null"))
    return ModelSignature(
        inputs=Schema(
            [ColSpec(DataType.string if name in KEYS else DataType.double, name, required=False) for name in columns]
        ),
        outputs=Schema(
            [
                *(ColSpec(DataType.string, name) for name in ("symbol", "timestamp")),
                ColSpec(DataType.string if is_discrete else DataType.double, "action"),
                *(ColSpec(DataType.double, name) for name in ("target_position", "order_shares")),
                *(ColSpec(DataType.double, name, required=False) for name in ("stop_loss", "take_profit")),
                *(ColSpec(DataType.double, name) for name in (*probabilities, "uncertainty")),
                *(ColSpec(DataType.string, name) for name in ("agent_state",) if is_recurrent),
                ColSpec(DataType.string, "bundle"),
            ]
        ),
        params=ParamSchema(params),
    )
