"""The code of the registered MLflow model, which MLflow runs when it loads a version.

Nothing is unpickled: the model is this file, the package beside it, and a bundle of data.
"""

import ast
import json
import logging
import math
import os
import re
from pathlib import Path
from typing import Annotated, Any

# Both are read when the package and PyTorch are imported.
os.environ["MLOPS_NO_COMPILE_CACHE"] = "1"  # see MLOps/compiled.py
# Requests are small and answered in parallel. PyTorch's own thread setting holds only in the thread that sets it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc import PythonModel
from pydantic import Field

from MLOps.config.schema import parse, section, shown, suggest
from MLOps.deployment.decisions import CASH, CASH_PER_SYMBOL, PORTFOLIO
from MLOps.deployment.trading_model import TradingModel
from MLOps.errors import UserError
from MLOps.trading import Account
from MLOps.training.determinism import seed_torch

# As MLflow logs them.
UNKNOWN_PARAMETERS = re.compile(
    r"Unrecognized params (\[.*\]) are ignored for inference. Supported params are: (\{.*\})"
)


@section
class Position:
    """One position in the parameter `positions`: {"AAPL": {"shares": 10, "entry_price": 52.5, …}}.

    Without an entry price the position counts as entered at the newest close. A position of a portfolio has no cash and
    no state of its own.
    """

    shares: float
    cash: float | None = None
    entry_price: Annotated[float, Field(gt=0)] | None = None
    holding_bars: Annotated[int, Field(ge=0)] = 0
    state: tuple[float, ...] | None = None


class Refusal(MlflowException):
    """A bad request, answered with status 400 and the sentence.

    MLflow's scoring server puts a dump of the request before the message of an exception; this one keeps its own.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, error_code=INVALID_PARAMETER_VALUE)
        self._sentence = sentence

    def serialize_as_json(self) -> str:
        self.message = self._sentence
        return str(super().serialize_as_json())


class ServingModel(PythonModel):
    """Answers bars with a decision for each symbol; see `TradingModel.decide`."""

    def load_context(self, context: Any) -> None:
        seed_torch(seed=0, threads=1)
        self._model = TradingModel.load(Path(context.artifacts["bundle"]))
        # MLflow answers /ping once the model is loaded. A first decision compiles everything before that.
        self._model.decide(self._model.example_bars(), self._model.trading.initial_cash, {})
        logging.getLogger("mlflow.models.utils").addFilter(self._refuse_unknown_parameter)

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        params = params or {}
        is_portfolio = bool(self._model.agent.symbols)
        try:
            name = self._model.cash_parameter
            cash = params.get(name)
            cash = self._model.trading.initial_cash if cash is None else float(cash)
            # A portfolio may owe what fees and forced exits took.
            if not (math.isfinite(cash) and (is_portfolio or cash >= 0)):
                raise UserError(f"{name}: expected money of at least 0, found {cash}; correct it")
            given = _positions(params.get("positions") or "{}")
            states = {symbol: own.state for symbol, own in given.items() if own.state is not None}
            if is_portfolio:
                _refuse_own_accounts(given)
                states = _portfolio_state(params.get("agent_state") or "null")
            return self._model.decide(model_input, cash, _accounts(given, cash), states)
        except UserError as error:
            raise Refusal(str(error)) from None

    def _refuse_unknown_parameter(self, record: logging.LogRecord) -> bool:
        """Raise what MLflow only logs: it drops a parameter that the signature does not have, and the decision would be
        made without it."""
        if found := UNKNOWN_PARAMETERS.match(record.getMessage()):
            unknown, known = (sorted(ast.literal_eval(names)) for names in found.groups())
            raise Refusal(f"params: unknown parameter {unknown[0]!r}; {self._instead(unknown[0], known)}")
        return True

    def _instead(self, unknown: str, known: list[str]) -> str:
        if unknown == CASH:
            return f"each symbol has an account of its own: send {CASH_PER_SYMBOL}, the cash of each"
        if unknown == CASH_PER_SYMBOL:
            return f"all positions are of one portfolio: send {CASH}, the cash of all together"
        return suggest(unknown, known)


def _positions(text: str) -> dict[str, Position]:
    """The JSON text of the parameter `positions`: by symbol, a number of shares or a `Position`."""
    values = _json(text, "positions", '{"AAPL": 10}')
    if not isinstance(values, dict):
        raise UserError(f'positions: expected a JSON object by symbol, found {shown(text)}; write {{"AAPL": 10}}')
    return {
        symbol: parse(Position, value if isinstance(value, dict) else {"shares": value}, f"positions: {symbol}")
        for symbol, value in values.items()
    }


def _accounts(positions: dict[str, Position], cash: float) -> dict[str, Account]:
    return {
        symbol: Account(
            cash=cash if given.cash is None else given.cash,
            shares=given.shares,
            entry_price=math.nan if given.entry_price is None else given.entry_price,
            holding_bars=given.holding_bars,
        )
        for symbol, given in positions.items()
    }


def _refuse_own_accounts(positions: dict[str, Position]) -> None:
    for symbol, given in positions.items():
        for name, parameter in (("cash", "cash"), ("state", "agent_state")):
            if getattr(given, name) is not None:
                raise UserError(
                    f"positions: {symbol}: {name}: all positions are of one portfolio; send the parameter {parameter} "
                    "instead"
                )


def _portfolio_state(text: str) -> dict[str, tuple[float, ...]]:
    state = _json(text, "agent_state", "in the last answer")
    if state is None:
        return {}
    return {PORTFOLIO: parse(tuple[float, ...], state, "agent_state")}


def _json(text: str, parameter: str, example: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(f"{parameter}: expected JSON, found {shown(text)}: {error}; write it as {example}") from None


set_model(ServingModel())
