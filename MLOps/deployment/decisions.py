"""What an agent decides at one bar for the accounts of a request: each symbol's own, or one portfolio."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from MLOps.agents.policy import TradingAgent
from MLOps.config.trading import TradingConfig
from MLOps.errors import UserError
from MLOps.trading import (
    Account,
    PortfolioAccount,
    observe,
    observe_portfolio,
    portfolio_target_shares,
    target_shares,
)

# Names a portfolio where states are given by symbol.
PORTFOLIO = "portfolio"
# The parameter of a request for the cash of the portfolio, and for the cash of each symbol's account.
CASH, CASH_PER_SYMBOL = "cash", "cash_per_symbol"


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The market at the close of the bar at which decisions are made.

    Attributes:
        symbols: the n symbols that can be decided on.
        rows: (n, F) the market's part of their observations.
        closes: the last close of each symbol of the request, of others too.
        turbulence: of the whole market; NaN if the rules do not need it.
    """

    symbols: tuple[str, ...]
    rows: np.ndarray
    closes: Mapping[str, float]
    turbulence: float


@dataclass(frozen=True, eq=False)
class Decisions:
    """Decisions on n symbols.

    Attributes:
        actions: (n,) as in the ledger of a backtest.
        target_positions: (n,) shares after the orders.
        order_shares: (n,) shares to trade.
        states: (n, state_width) recurrent states after the decision; those of a portfolio repeat.
    """

    actions: np.ndarray
    target_positions: np.ndarray
    order_shares: np.ndarray
    states: np.ndarray


def decide_each(
    agent: TradingAgent,
    trading: TradingConfig,
    snapshot: Snapshot,
    cash: float,
    positions: Mapping[str, Account],
    states: Mapping[str, Sequence[float]],
) -> Decisions:
    """Decide for each symbol's own account.

    Args:
        cash: of the accounts that `positions` does not name.
        positions: accounts by symbol; an entry price of NaN stands for the last close.
        states: the agent's recurrent states by symbol; that of a new account where there is none.

    Raises:
        UserError: an account is in debt or without equity, or a state does not fit the agent.
    """
    observations = np.empty((len(snapshot.symbols), len(agent.columns)), np.float32)
    known = np.empty((len(snapshot.symbols), agent.state_width), np.float32)
    before = []
    for place, (symbol, row) in enumerate(zip(snapshot.symbols, snapshot.rows, strict=True)):
        account, close = positions.get(symbol, Account(cash=cash)), snapshot.closes[symbol]
        if np.isnan(account.entry_price):
            account = replace(account, entry_price=close)
        if account.overdrawn(close):
            raise UserError(f"positions: {symbol}: expected cash of at least 0, found {account.cash:g}; correct it")
        if account.cash + account.shares * close <= 0 and account.shares:
            raise UserError(
                f"positions: {symbol}: equity must be positive, found cash {account.cash:g} and {account.shares:g} "
                f"shares at {close:g}; correct cash or shares"
            )
        observations[place] = observe(row, account, close)
        known[place] = _state(agent, states.get(symbol), f"positions: {symbol}: state")
        before.append(account)
    actions, after = agent.decide(observations, known)
    targets = np.array(
        [
            target_shares(action, account, snapshot.closes[symbol], trading, snapshot.turbulence)
            for symbol, action, account in zip(snapshot.symbols, actions, before, strict=True)
        ]
    )
    return Decisions(actions, targets, targets - np.array([account.shares for account in before]), after)


def decide_portfolio(
    agent: TradingAgent,
    trading: TradingConfig,
    snapshot: Snapshot,
    cash: float,
    positions: Mapping[str, Account],
    states: Mapping[str, Sequence[float]],
) -> Decisions:
    """Decide for one account that holds all `positions`.

    Args:
        cash: of the portfolio; the cash of `positions` is not used.
        positions: what is held, by symbol; an entry price of NaN stands for the last close.
        states: the agent's recurrent state under PORTFOLIO; that of a new account without it.

    Raises:
        UserError: the portfolio has no equity, or the state does not fit the agent.
    """
    held = [positions.get(symbol, Account(cash=0.0)) for symbol in agent.symbols]
    close = np.array([snapshot.closes.get(symbol, 0.0) for symbol in agent.symbols])
    entry = np.array([account.entry_price for account in held])
    account = PortfolioAccount(
        cash=cash,
        shares=np.array([account.shares for account in held], np.float64),
        entry_price=np.where(np.isnan(entry), close, entry),
        holding_bars=np.array([account.holding_bars for account in held], np.int64),
        close=close,
    )
    equity = cash + float((account.shares * close).sum())
    if equity < 0 or (equity == 0 and account.shares.any()):
        raise UserError(
            f"positions: the portfolio's equity must be positive, found {equity:g} with cash {cash:g}; correct cash or "
            "shares"
        )
    places = [agent.symbols.index(symbol) for symbol in snapshot.symbols]
    rows = np.full((len(agent.symbols), snapshot.rows.shape[1]), np.nan, np.float32)
    rows[places] = snapshot.rows
    state = _state(agent, states.get(PORTFOLIO), "agent_state")
    actions, after = agent.decide(observe_portfolio(rows, account)[None], state[None])
    observable = np.isin(np.arange(len(rows)), places)
    targets = portfolio_target_shares(actions[0], account, observable, trading, snapshot.turbulence)
    orders = targets - account.shares
    return Decisions(actions[0][places], targets[places], orders[places], np.repeat(after, len(places), axis=0))


def _state(agent: TradingAgent, given: Sequence[float] | None, where: str) -> np.ndarray:
    width = agent.state_width
    if given is None:
        return np.zeros(width, np.float32)
    if not width:
        raise UserError(f"{where}: the agent is not recurrent and has no state; leave it out")
    state = np.asarray(given, np.float32)
    if state.shape != (width,) or not np.isfinite(state).all():
        raise UserError(
            f"{where}: expected {width} finite numbers, as agent_state of the last answer, found {len(given)}; "
            "send that, or leave it out for a new account"
        )
    return state
