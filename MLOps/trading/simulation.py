"""A policy over a whole market: the backtest's face of the kernel."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from MLOps.config.trading import TradingConfig
from MLOps.errors import UserError
from MLOps.trading import kernel
from MLOps.trading.account import Action, as_actions, observation_columns
from MLOps.trading.market import Market

# (observations (n, D), symbol_index (n,), bar) -> actions (n,) or, for a portfolio, (1, S).
Policy = Callable[[NDArray[np.float32], NDArray[np.intp], int], NDArray[Any]]

# Where no action was asked for.
NO_ACTION = -1


@dataclass(frozen=True, eq=False)
class Ledger:
    """Everything that happened, per bar.

    The first axis is the symbol, except that `cash`, `equity`, `costs` and `rewards` have one row per account: S rows
    under the scheme `discrete`, where every symbol has its own account, and one row under `shares` and `weights`.

    Attributes:
        symbols: S names.
        timestamps: (B,) datetime64[ns], UTC.
        close: (S, B) the market's closes, NaN where a symbol has no bar.
        actions: (S, B) what the policy decided at the bar's close; where it was not asked, NO_ACTION (portfolio: NaN).
        order_shares, order_price: (S, B) shares traded by the previous bar's decision and their fill price, slippage
            included; 0 and NaN where nothing was filled.
        exit_shares, exit_price: (S, B) the same of stop-loss, take-profit and liquidation, later in the same bar.
        position: (S, B) shares held at the bar's close.
        entry_price: (S, B) average price of what is held, slippage included; stale where nothing is.
        holding_bars: (S, B) closes that the position has lived through.
        cash, equity: (N, B) money at the bar's close; equity = cash + sum of position × close, with the last close of
            a symbol whose life has ended.
        costs: (N, B) money lost in the bar to commission, fixed fees, slippage and borrowing.
        rewards: (N, B) the reward of the step that ended at the bar's close.
    """

    symbols: tuple[str, ...]
    timestamps: NDArray[np.datetime64]
    close: NDArray[np.float64]
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
    """Let `policy` trade the whole market, from its first bar to its last.

    Under the scheme `discrete` every symbol has its own account with `initial_cash`; under `shares` and `weights` one
    account holds all. Once a bar, `policy(observations, symbol_index, bar)` is asked for the accounts that can trade:
    whose symbol is observable at the bar and has a next one, and that are not bankrupt. `symbol_index` says which
    symbols the rows of `observations` are, `bar` indexes `market.timestamps`. A portfolio is asked with one row and the
    index of all symbols, and answers with one row. The last bar admits no order. An account whose symbol is not yet
    listed keeps its cash; one whose symbol has ended keeps its position at the last close.

    Raises:
        UserError: when the policy answers with the wrong shape, an unknown action or a number that is not finite.
    """
    portfolio = config.scheme != "discrete"
    block, rules = market.block, kernel.rules_of(config)
    check_turbulence(market, config)
    shape = (market.n_symbols, market.n_bars)
    n_accounts = 1 if portfolio else shape[0]
    accounts = np.zeros(n_accounts, kernel.ACCOUNT)
    holdings = np.zeros((n_accounts, shape[0] // n_accounts), kernel.HOLDING)
    holdings["symbol"] = np.arange(shape[0]).reshape(holdings.shape)
    kernel.open_all(accounts, holdings, market.first, market.stop - 1, block.prices, rules)

    observations = np.empty((n_accounts, len(observation_columns(market, config))), dtype=np.float32)
    actions = np.zeros((1, shape[0]), np.float32) if portfolio else np.zeros(n_accounts, np.int64)
    rewards = np.zeros(n_accounts)
    costs_before = np.zeros(n_accounts)
    ledger = Ledger(
        symbols=market.symbols,
        timestamps=market.timestamps,
        close=market.close,
        actions=np.full(shape, np.nan, np.float32) if portfolio else np.full(shape, NO_ACTION, np.int8),
        holding_bars=np.zeros(shape, np.int64),
        **{name: np.zeros(shape) for name in ("order_shares", "exit_shares", "position", "entry_price")},
        **{name: np.full(shape, np.nan) for name in ("order_price", "exit_price")},
        **{name: np.zeros((n_accounts, shape[1])) for name in ("cash", "equity", "costs", "rewards")},
    )
    ledger.cash[:, 0] = ledger.equity[:, 0] = config.initial_cash
    tradable = market.observable[:, :-1] & market.alive[:, 1:]
    for bar in range(shape[1] - 1):
        asked = np.flatnonzero(tradable[:, bar] & (accounts["bankrupt"] == 0))
        actions[:] = 0
        if len(asked):
            kernel.observe_all(accounts, holdings, block.observations, block.observable, rules, observations)
            if portfolio:
                actions[:] = _answer(policy(observations, np.arange(shape[0]), bar), actions.shape, discrete=False)
                ledger.actions[:, bar] = actions[0]
            else:
                actions[asked] = _answer(policy(observations[asked], asked, bar), asked.shape, discrete=True)
                ledger.actions[asked, bar] = actions[asked]
        kernel.advance_all(
            actions, accounts, holdings, block.prices, block.observable, block.turbulence, rules, rewards
        )
        for name in ("order_shares", "order_price", "exit_shares", "exit_price", "entry_price", "holding_bars"):
            getattr(ledger, name)[:, bar + 1] = holdings[name].ravel()
        ledger.position[:, bar + 1] = holdings["shares"].ravel()
        for name in ("cash", "equity"):
            getattr(ledger, name)[:, bar + 1] = accounts[name]
        ledger.costs[:, bar + 1] = accounts["costs"] - costs_before
        ledger.rewards[:, bar + 1] = rewards
        costs_before[:] = accounts["costs"]
    return ledger


def check_turbulence(market: Market, config: TradingConfig) -> None:
    """Refuse a turbulence stop that nothing could ever touch."""
    if config.turbulence_stop is not None and market.turbulence is None:
        raise UserError("trading.turbulence_stop is set, but the market has no turbulence; add it or set null")


def _answer(actions: Any, shape: tuple[int, ...], discrete: bool) -> NDArray[Any]:
    answer = as_actions(actions, shape, discrete)
    if not kernel.valid(answer):
        known = f"one of {[int(action) for action in Action]}" if discrete else "finite"
        raise UserError(f"expected every action to be {known}, found {answer.tolist()}")
    return answer
