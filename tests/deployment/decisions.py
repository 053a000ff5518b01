"""Ask a served model for the decisions of a backtest, bar by bar, and tell where the answers differ."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from MLOps.deployment.decisions import PORTFOLIO
from MLOps.deployment.trading_model import TradingModel
from MLOps.trading import Account, Action
from MLOps.trading.simulation import NO_ACTION

# bars, cash, accounts by symbol, recurrent states -> the answer; see `TradingModel.decide`.
Ask = Callable[[pd.DataFrame, float, Mapping[str, Account], Mapping[str, Sequence[float]]], pd.DataFrame]


def request_bars(model: TradingModel, bars: pd.DataFrame, until: pd.Timestamp) -> pd.DataFrame:
    """The bars to send at `until`: of each symbol that has as many as a decision needs, or is of the universe."""
    recent = bars[bars["timestamp"] <= until].groupby("symbol").tail(model.required_bars)
    enough = recent.groupby("symbol")["close"].transform("size") >= model.required_bars
    return recent[enough | recent["symbol"].isin(model.pipeline.universe)]


def agent_rows(ledger: pd.DataFrame, scheme: str) -> pd.DataFrame:
    """The rows of the agent's ledger at which it was asked for a decision."""
    own = ledger[ledger["policy"] == "agent"] if "policy" in ledger else ledger
    return own[own["actions"] != NO_ACTION] if scheme == "discrete" else own[own["actions"].notna()]


def account_of(row: Any) -> Account:
    return Account(row.cash, row.position, row.entry_price if row.position else np.nan, int(row.holding_bars))


def as_parameters(
    model: TradingModel, cash: float, positions: Mapping[str, Account], states: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """The parameters of a request for these accounts."""
    sent: dict[str, dict[str, Any]] = {}
    for symbol, account in positions.items():
        sent[symbol] = {"shares": account.shares, "holding_bars": account.holding_bars}
        # Where nothing is held there is no entry price to tell.
        sent[symbol] |= {"entry_price": account.entry_price} if account.shares else {}
        if not model.agent.symbols:
            sent[symbol] |= {"cash": account.cash}
            sent[symbol] |= {"state": list(states[symbol])} if symbol in states else {}
    params: dict[str, Any] = {"positions": json.dumps(sent)}
    if model.agent.symbols:
        params[model.cash_parameter] = cash
        params |= {"agent_state": json.dumps(list(states[PORTFOLIO]))} if states else {}
    return params


def differences(
    model: TradingModel, ask: Ask, bars: pd.DataFrame, ledger: pd.DataFrame, stamps: Sequence[pd.Timestamp]
) -> tuple[int, list[str]]:
    """How many decisions were asked for at `stamps`, and which differ from the ledger's.

    Args:
        ledger: rows of `agent_rows`; `stamps` are of all its bars in order if the agent is recurrent.
    """
    scheme, portfolio = model.trading.scheme, model.agent.symbols
    states: dict[str, list[float]] = {}
    asked, found = 0, []
    for stamp in stamps:
        rows = ledger[ledger["timestamp"] == stamp]
        sent = request_bars(model, bars, stamp)
        here = {row.symbol for row in rows.itertuples() if row.symbol in set(sent["symbol"])}
        positions = {row.symbol: account_of(row) for row in rows.itertuples() if row.symbol in here}
        if portfolio:
            positions = {symbol: account for symbol, account in positions.items() if account.shares}
            newest = sent[(sent["timestamp"] == stamp) & (sent.groupby("symbol").cumcount() + 1 >= model.required_bars)]
            here &= set(newest["symbol"])
        answer = ask(sent, float(rows["cash"].iloc[0]) if portfolio else 0.0, positions, states).set_index("symbol")
        if portfolio and (strange := set(answer.index) ^ here):
            found.append(f"{stamp}: decided, or not decided: {sorted(strange)}")
        for row in rows[rows["symbol"].isin(here)].itertuples():
            expected = Action(int(row.actions)).name if scheme == "discrete" else float(row.actions)
            asked += 1
            if answer["action"].get(row.symbol) != expected:
                found.append(f"{stamp} {row.symbol}: {expected} answered {answer['action'].get(row.symbol)}")
        if "agent_state" in answer:
            new = {symbol: json.loads(state) for symbol, state in answer["agent_state"].items()}
            states |= {PORTFOLIO: next(iter(new.values()))} if portfolio else new
    return asked, found
