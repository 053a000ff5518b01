"""Run a policy over a whole market, as in a backtest, and record the ledger."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from MLOps.config.trading import TradingConfig
from MLOps.errors import UserError
from MLOps.trading import kernel
from MLOps.trading.account import Action, as_actions, observation_columns
from MLOps.trading.market import Market

# (observations (n, D), symbol_index, bar) -> actions (n,), or (1, S) for a portfolio; see `simulate`.
Policy = Callable[[NDArray[np.float32], NDArray[np.intp], int], NDArray[Any]]

# Recorded where the policy was not called.
NO_ACTION = -1


@dataclass(frozen=True, eq=False)
class Ledger:
    """Record of a simulation, per bar.

    The first axis is the symbol, except that `cash`, `equity`, `costs` and `rewards` have one row per account: S rows
    if every symbol has its own account, one row for a portfolio. At bars at which an account does not move, because its
    symbol has no bar, its state is repeated, and there are no fills, gains or costs.

    Attributes:
        symbols: S names.
        timestamps: (B,) datetime64[ns], UTC.
        close: (S, B) the market's closes, NaN where a symbol has no bar.
        tradable: (S, B) bool, true from the first bar at which a decision on the symbol is possible to the symbol's
            last bar in the market, gaps included.
        actions: (S, B) the policy's action at the bar's close; where the policy was not called, NO_ACTION for the
            scheme `discrete` and NaN for the others.
        order_shares, order_price: (S, B) shares traded by the last decision and their fill price, slippage included; 0
            and NaN where nothing was filled.
        exit_shares, exit_price: (S, B) the same for stop-loss, take-profit, margin call, delisting and bankruptcy,
            later in the same bar.
        position: (S, B) shares held at the bar's close.
        entry_price: (S, B) average entry price of the position, slippage included; 0 without a position.
        holding_bars: (S, B) number of closes since the position was opened.
        cash, equity: (N, B) money at the bar's close; equity = cash + sum of position × last close.
        costs: (N, B) money lost in the bar to commission, fixed fees, slippage and borrowing.
        rewards: (N, B) the reward of the step that ended at the bar's close.
    """

    symbols: tuple[str, ...]
    timestamps: NDArray[np.datetime64]
    close: NDArray[np.float64]
    tradable: NDArray[np.bool_]
    actions: NDArray[Any]
    order_shares: NDArray[np.float64]
    order_price: NDArray[np.float64]
    exit_shares: NDArray[np.float64]
    exit_price: NDArray[np.float64]
    position: NDArray[np.float64]
    entry_price: NDArray[np.float64]
    holding_bars: NDArray[np.int64]
    cash: NDArray[np.float64]
    equity: NDArray[np.float64]
    costs: NDArray[np.float64]
    rewards: NDArray[np.float64]

    def to_frame(self) -> pd.DataFrame:
        """A long table, sorted by symbol and timestamp; a portfolio's account columns repeat for every symbol."""
        shape = self.position.shape
        columns: dict[str, Any] = {
            "timestamp": pd.DatetimeIndex(np.tile(self.timestamps, shape[0])).tz_localize("UTC"),
            "symbol": np.repeat(np.array(self.symbols, dtype=object), shape[1]),
        }
        by_symbol = ("close", "actions", "order_shares", "order_price", "exit_shares", "exit_price", "position")
        for name in (*by_symbol, "entry_price", "holding_bars"):
            columns[name] = getattr(self, name).ravel()
        for name in ("cash", "equity", "costs", "rewards"):
            columns[name] = np.broadcast_to(getattr(self, name), shape).ravel()
        return pd.DataFrame(columns)


def simulate(policy: Policy, market: Market, config: TradingConfig) -> Ledger:
    """Trade the whole market with `policy`, from its first bar to its last.

    With `account: per_symbol` every symbol has its own account with `initial_cash`, which moves over the bars of its
    symbol; with `portfolio` one account holds all symbols and moves over all bars. At each bar `policy(observations,
    symbol_index, bar)` is called for the accounts that can decide: those that are not bankrupt and whose symbol is
    observable at the bar and has a later one. `symbol_index` gives the symbol of each row of `observations`, `bar`
    indexes `market.timestamps`; the policy returns one action per row. For a portfolio the policy is called with one
    row and the indices of all symbols if any symbol can be decided on, and returns one row of S actions.

    Under the scheme `weights`, NaN means no order. An account holds its initial cash until its symbol is listed, and
    keeps a position at its last close if its symbol ends without being delisted.

    Raises:
        UserError: when the policy returns the wrong shape, an unknown action or a number outside [-1, 1], or when the
            market lacks data that the rules need.
    """
    portfolio, discrete = config.account == "portfolio", config.scheme == "discrete"
    block, rules = market.block, kernel.rules_of(config)
    run = _Run.open(market, config)
    accounts, holdings, shape = run.accounts, run.holdings, run.decides.shape
    decisions = np.full(shape, NO_ACTION, np.int8) if discrete else np.full(shape, np.nan, np.float32)
    observations = np.empty((len(accounts), len(observation_columns(market, config))), dtype=np.float32)
    actions = np.zeros(len(accounts), np.int64) if discrete else np.zeros(holdings.shape, np.float32)
    rewards = np.zeros(len(accounts))
    copies = [(_whole(run.history), _whole(accounts)), (_whole(run.holding_history), _whole(holdings))]
    for bar in range(shape[1] - 1):
        here = accounts["bar"] == market.first + bar
        asked = np.flatnonzero(run.decides[:, bar] & here & (accounts["bankrupt"] == 0))
        actions[:] = 0 if discrete else np.nan
        if len(asked):
            kernel.observe_all(accounts, holdings, block.observations, block.flags, rules, observations)
            if portfolio:
                actions[:] = _answer(policy(observations, np.arange(shape[0]), bar), actions.shape, config)
                decisions[:, bar] = actions[0]
            else:
                answer = _answer(policy(observations[asked], asked, bar), asked.shape, config)
                actions.reshape(-1)[asked] = decisions[asked, bar] = answer
        moving = np.flatnonzero(here & run.goes_on[:, bar])
        kernel.advance_some(
            moving, actions, accounts, holdings, block.prices, block.details, block.flags, rules, rewards
        )
        arrival = accounts["bar"][moving] - market.first
        for kept, current in copies:
            kept[moving, arrival] = current[moving]
        run.rewards[moving, arrival] = rewards[moving]
    return _ledger(market, decisions, run)


def replay(targets: NDArray[np.floating[Any]], market: Market, config: TradingConfig) -> Ledger:
    """The result of `simulate` under the scheme `weights` for decisions known in advance, in one compiled call.

    Args:
        targets: (S, B) target exposure at each bar as a fraction of equity, in [-1, 1]; NaN for no order. They are used
            at bars at which `simulate` would call the policy.

    Raises:
        UserError: the scheme is not `weights`, the targets have another shape or lie outside [-1, 1], or the market
            lacks data that the rules need.
    """
    if config.scheme != "weights":
        raise UserError(f"expected trading.scheme weights to replay targets, found {config.scheme}")
    targets = _answer(targets, (market.n_symbols, market.n_bars), config)
    run, block = _Run.open(market, config), market.block
    kernel.replay(
        targets,
        run.decides,
        run.goes_on,
        market.first,
        np.zeros(run.holdings.shape, np.float32),
        run.accounts,
        run.holdings,
        block.prices,
        block.details,
        block.flags,
        kernel.rules_of(config),
        run.history,
        run.holding_history,
        run.rewards,
    )
    asked = run.decides & np.broadcast_to(run.solvent(), run.decides.shape)
    if config.account == "portfolio":
        asked = np.broadcast_to(asked.any(axis=0), asked.shape)
    return _ledger(market, np.where(asked, targets, np.float32(np.nan)), run)


class _Run(NamedTuple):
    """Accounts during a simulation, and the record of their states.

    Attributes:
        accounts: (N,) `kernel.ACCOUNT`; holdings: (N, A) `kernel.HOLDING`.
        decides: (S, B) whether a decision on the symbol is possible at a bar.
        goes_on: (N, B) whether the account moves on from a bar.
        history, holding_history, rewards: (N, B), (N, B, A), (N, B), written at the bars visited.
    """

    accounts: NDArray[Any]
    holdings: NDArray[Any]
    decides: NDArray[np.bool_]
    goes_on: NDArray[np.bool_]
    history: NDArray[Any]
    holding_history: NDArray[Any]
    rewards: NDArray[np.float64]

    @classmethod
    def open(cls, market: Market, config: TradingConfig) -> "_Run":
        """New accounts at the market's first bar."""
        check_market(market, config)
        portfolio = config.account == "portfolio"
        symbols, bars = market.n_symbols, market.n_bars
        n_accounts = 1 if portfolio else symbols
        accounts = np.zeros(n_accounts, kernel.ACCOUNT)
        holdings = np.zeros((n_accounts, symbols // n_accounts), kernel.HOLDING)
        holdings["symbol"] = np.arange(symbols).reshape(holdings.shape)
        kernel.open_all(accounts, holdings, market.first, market.stop - 1, market.block.prices, kernel.rules_of(config))
        history = np.zeros((n_accounts, bars), kernel.ACCOUNT)
        holding_history = np.zeros((n_accounts, bars, holdings.shape[1]), kernel.HOLDING)
        history[:, 0], holding_history[:, 0] = accounts, holdings
        return cls(
            accounts=accounts,
            holdings=holdings,
            decides=market.observable & market.has_later_bar,
            goes_on=np.ones((1, bars), bool) if portfolio else market.has_later_bar,
            history=history,
            holding_history=holding_history,
            rewards=np.zeros((n_accounts, bars)),
        )

    def newest(self) -> NDArray[np.intp]:
        """(N, B) the last bar visited by each account, at or before each bar."""
        visited = self.history["steps"] > 0
        visited[:, 0] = True
        return np.maximum.accumulate(np.where(visited, np.arange(visited.shape[1]), 0), axis=1)

    def solvent(self) -> NDArray[np.bool_]:
        """(N, B) whether each account was not bankrupt at each bar."""
        return np.take_along_axis(self.history["bankrupt"], self.newest(), axis=1) == 0


def _ledger(market: Market, decisions: NDArray[Any], run: _Run) -> Ledger:
    newest = run.newest()
    visited = newest == np.arange(market.n_bars)

    def of_account(name: str) -> NDArray[Any]:
        return np.take_along_axis(run.history[name], newest, axis=1)

    def of_symbol(name: str, between: float | None = None) -> NDArray[Any]:
        """(S, B) a field of the holdings; at bars that were not visited, its last value or `between`."""
        values = np.take_along_axis(run.holding_history[name], newest[..., None], axis=1)
        if between is not None:
            values[~visited] = between
        return values.transpose(0, 2, 1).reshape(market.n_symbols, market.n_bars)

    return Ledger(
        symbols=market.symbols,
        timestamps=market.timestamps,
        close=market.close,
        tradable=_tradable(market),
        actions=decisions,
        order_shares=of_symbol("order_shares", 0.0),
        order_price=of_symbol("order_price", np.nan),
        exit_shares=of_symbol("exit_shares", 0.0),
        exit_price=of_symbol("exit_price", np.nan),
        position=of_symbol("shares"),
        entry_price=of_symbol("entry_price"),
        holding_bars=of_symbol("holding_bars"),
        cash=of_account("cash"),
        equity=of_account("equity"),
        costs=np.diff(of_account("costs"), axis=1, prepend=0.0),
        rewards=run.rewards,
    )


def _tradable(market: Market) -> NDArray[np.bool_]:
    later = market.has_later_bar
    return np.logical_or.accumulate(market.observable & later, axis=1) & (later | market.alive)


def check_market(market: Market, config: TradingConfig) -> None:
    """Check that the market has the data that the rules need.

    Raises:
        UserError: for a turbulence stop without turbulence, or a participation limit without volume.
    """
    if config.turbulence_stop is not None and market.turbulence is None:
        raise UserError("trading.turbulence_stop is set, but the market has no turbulence; add it or set null")
    if config.max_participation is not None and market.volume is None:
        raise UserError(
            "trading.max_participation is set, but the market lacks the volume of some bars; add it or set null"
        )


def _whole(records: NDArray[Any]) -> NDArray[Any]:
    """A view that copies each record at once; NumPy copies structured records field by field, five times slower."""
    return records.view(np.dtype((np.void, records.dtype.itemsize)))


def _answer(actions: Any, shape: tuple[int, ...], config: TradingConfig) -> NDArray[Any]:
    answer = as_actions(actions, shape, config.scheme == "discrete")
    if config.scheme == "discrete":
        known, valid = f"one of {[int(action) for action in Action]}", bool(kernel.valid(answer))
    elif config.scheme == "shares":
        known, valid = "in [-1, 1]", bool((np.abs(answer) <= 1).all())
    else:
        known, valid = "in [-1, 1], or NaN for no order", not (np.abs(answer) > 1).any()
    if not valid:
        raise UserError(f"expected every action to be {known}, found {answer.tolist()}")
    return answer
