"""The parameters of a request: whose cash, which positions, what the agent remembers."""

import ast
import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from pydantic import Field

from MLOps.config.schema import parse, section, shown, suggest
from MLOps.deployment.body import ACCOUNT, LARGEST, check_name, read_json
from MLOps.deployment.decisions import CASH, CASH_PER_SYMBOL, PORTFOLIO
from MLOps.deployment.trading_model import TradingModel
from MLOps.errors import UserError
from MLOps.trading import Account

POSITIONS, STATE = "positions", "agent_state"
MOST_BARS = 10**9  # that a position can have been held
MOST_STATE = 4096  # numbers that an agent remembers
Amount = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
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

    shares: Amount
    cash: Amount | None = None
    entry_price: Annotated[float, Field(gt=0, le=LARGEST)] | None = None
    holding_bars: Annotated[int, Field(ge=0, le=MOST_BARS)] = 0
    state: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Accounts:
    """What `TradingModel.decide` asks for beside the bars, and the account's name if the request has one."""

    account: str | None
    cash: float
    positions: Mapping[str, Account]
    states: Mapping[str, tuple[float, ...]]


class Refusal(MlflowException):
    """A bad request, answered with status 400 and the sentence.

    MLflow's own scoring server puts a dump of the request before the message of an exception; this one keeps its own.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, error_code=INVALID_PARAMETER_VALUE)
        self._sentence = sentence

    def serialize_as_json(self) -> str:
        self.message = self._sentence
        return str(super().serialize_as_json())


def parameter_names(model: TradingModel) -> tuple[str, ...]:
    """The parameters that a request to `model` may have."""
    return (model.cash_parameter, POSITIONS, ACCOUNT, *((STATE,) if model.agent.symbols else ()))


def read_accounts(model: TradingModel, params: Mapping[str, Any], max_positions: int) -> Accounts:
    """The accounts that `params` describe; parameters that are None or missing have their defaults.

    Raises:
        UserError: a parameter is unknown, of the wrong type or beyond its bounds.
    """
    for name in params:
        if name not in parameter_names(model):
            raise UserError(f"params: unknown parameter {shown(name)}; {_instead(name, parameter_names(model))}")
    is_portfolio = bool(model.agent.symbols)
    account = params.get(ACCOUNT) or None
    if not isinstance(account, str | None):
        raise UserError(f"{ACCOUNT}: expected text, found {shown(account)}; correct it")
    cash = _cash(model, params.get(model.cash_parameter))
    given = _positions(params.get(POSITIONS), max_positions)
    states = {symbol: own.state for symbol, own in given.items() if own.state is not None}
    if is_portfolio:
        _refuse_own_accounts(given)
        states = _portfolio_state(params.get(STATE))
    return Accounts(account and check_name(account, ACCOUNT), cash, _accounts(given, cash), states)


def refuse_unknown_parameter(record: logging.LogRecord) -> bool:
    """A filter of MLflow's log that raises what MLflow only logs: it drops a parameter that the signature does not
    have, and the decision would be made without it."""
    if found := UNKNOWN_PARAMETERS.match(record.getMessage()):
        unknown, known = (sorted(ast.literal_eval(names)) for names in found.groups())
        raise Refusal(f"params: unknown parameter {unknown[0]!r}; {_instead(unknown[0], known)}")
    return True


def _instead(unknown: str, known: tuple[str, ...] | list[str]) -> str:
    if unknown == CASH and CASH_PER_SYMBOL in known:
        return f"each symbol has an account of its own: send {CASH_PER_SYMBOL}, the cash of each"
    if unknown == CASH_PER_SYMBOL and CASH in known:
        return f"all positions are of one portfolio: send {CASH}, the cash of all together"
    return suggest(unknown, known)


def _cash(model: TradingModel, given: Any) -> float:
    name = model.cash_parameter
    if given is None:
        return model.trading.initial_cash
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise UserError(f"{name}: expected a number, found {shown(given)}; correct it")
    # A portfolio may owe what fees and forced exits took.
    lowest = -LARGEST if model.agent.symbols else 0.0
    if not lowest <= given <= LARGEST:
        raise UserError(
            f"{name}: expected money of at least {lowest:g} and at most {LARGEST:g}, found {shown(given)}; correct it"
        )
    return float(given)


def _positions(given: Any, most: int) -> dict[str, Position]:
    """The parameter `positions`, JSON or its text: by symbol, a number of shares or a `Position`."""
    values = {} if given is None else _parsed(given, POSITIONS, '{"AAPL": 10}')
    if not isinstance(values, dict):
        raise UserError(f'{POSITIONS}: expected a JSON object by symbol, found {shown(given)}; write {{"AAPL": 10}}')
    if len(values) > most:
        raise UserError(f"{POSITIONS}: expected at most {most} symbols, found {len(values)}")
    return {
        check_name(symbol, POSITIONS): _position(value, f"{POSITIONS}: {symbol}") for symbol, value in values.items()
    }


def _position(value: Any, where: str) -> Position:
    if not isinstance(value, dict):
        return parse(Position, {"shares": value}, where)
    keys = [field.name for field in fields(Position)]
    if len(value) > len(keys):
        raise UserError(f"{where}: expected keys of {', '.join(keys)}, found {len(value)} keys; remove the others")
    _check_state(value.get("state"), f"{where}: state")
    return parse(Position, value, where)


def _check_state(state: Any, where: str) -> None:
    """Bound what is parsed: a wrong element costs much more than a right one."""
    if isinstance(state, list) and (len(state) > MOST_STATE or set(map(type, state)) - {int, float}):
        raise UserError(f"{where}: expected at most {MOST_STATE} numbers; send what the last answer had")


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
        for name, parameter in (("cash", CASH), ("state", STATE)):
            if getattr(given, name) is not None:
                raise UserError(
                    f"{POSITIONS}: {symbol}: {name}: all positions are of one portfolio; send the parameter "
                    f"{parameter} instead"
                )


def _portfolio_state(given: Any) -> dict[str, tuple[float, ...]]:
    state = None if given is None else _parsed(given, STATE, "in the last answer")
    _check_state(state, STATE)
    return {} if state is None else {PORTFOLIO: parse(tuple[float, ...], state, STATE)}


def _parsed(given: Any, parameter: str, example: str) -> Any:
    return read_json(given, parameter, example) if isinstance(given, str) else given
