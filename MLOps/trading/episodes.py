"""Episode state of N accounts, shared by TradingEnv and TradingVecEnv."""

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from MLOps.config.trading import TradingConfig
from MLOps.errors import UserError
from MLOps.trading import kernel
from MLOps.trading.account import Action, as_actions, observation_columns
from MLOps.trading.market import Market
from MLOps.trading.simulation import check_market


class Episodes:
    """The accounts, their possible episodes, and the action and observation spaces.

    Attributes:
        accounts: (N,) `kernel.ACCOUNT`.
        holdings: (N, A) `kernel.HOLDING`; one symbol per account, or all symbols of the market for a portfolio.
        starts: (E, 3) int64: symbol (-1 for all), first and last bar of every possible episode, in the market's block.
    """

    def __init__(self, market: Market, config: TradingConfig, n_accounts: int) -> None:
        """Raises: UserError: when the market allows no episode, or lacks data that the rules need."""
        if n_accounts < 1:
            raise UserError(f"expected at least one environment, found {n_accounts}")
        check_market(market, config)
        self.block = market.block
        self.rules = kernel.rules_of(config)
        self.starts = possible_episodes(market, config)
        n_columns = len(observation_columns(market, config))
        self.observation_space = spaces.Box(-np.inf, np.inf, (n_columns,), np.float32)
        self.accounts = np.zeros(n_accounts, kernel.ACCOUNT)
        assets = market.n_symbols if config.account == "portfolio" else 1
        self.holdings = np.zeros((n_accounts, assets), kernel.HOLDING)
        if config.account == "portfolio":
            self.holdings["symbol"] = np.arange(assets)
        self._choices = {"targets": len(config.targets), "discrete": len(Action)}.get(config.scheme)
        self._targets = np.array(config.targets, np.float32) if config.scheme == "targets" else None
        self.action_space: spaces.Space[Any]
        self.action_space = (
            spaces.Box(-1.0, 1.0, (assets,)) if self._choices is None else spaces.Discrete(self._choices)
        )
        # Compiled code does not check bounds, so every account must always be in an episode.
        self.start()

    def change(self, config: TradingConfig, starts: NDArray[np.int64]) -> None:
        """Trade by other rules of the same scheme and account, and draw new episodes from `starts`."""
        self.rules, self.starts = kernel.rules_of(config), starts

    def start(self) -> None:
        """Begin a new episode for every account, drawn by the account's own generator."""
        kernel.start_episodes(self.accounts, self.holdings, self.starts, self.block.prices, self.rules)

    def orders(self, actions: Any) -> NDArray[Any]:
        """Actions of the action space as the kernel takes them; a choice among targets becomes a weight.

        Raises:
            UserError: for another shape, or a target that is not in the list; the kernel checks all other values.
        """
        discrete = self._choices is not None
        actions = as_actions(actions, self.holdings.shape[: 1 if discrete else 2], discrete)
        if self._targets is None:
            return actions
        if actions.min() < 0 or actions.max() >= len(self._targets):
            raise UserError(f"expected every action in {self.action_space}, found {actions.tolist()}")
        return self._targets[actions][:, None]

    def observe(self, out: NDArray[np.float32]) -> None:
        """Write every account's observation to `out` (N, D)."""
        block = self.block
        kernel.observe_all(self.accounts, self.holdings, block.observations, block.flags, self.rules, out)

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Copies of the full state (positions, clocks and generators) as plain arrays by name."""
        state = {f"account.{name}": self.accounts[name].copy() for name in kernel.ACCOUNT.names or ()}
        return state | {f"holding.{name}": self.holdings[name].copy() for name in kernel.HOLDING.names or ()}

    def set_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Restore a state returned by `get_state`, on the same market and with the same rules.

        Raises:
            UserError: when the state has other names, another number of accounts or symbols, or bars that the market
                does not have.
        """
        for name, present in self.get_state().items():
            found = state.get(name)
            if found is None or found.shape != present.shape or found.dtype != present.dtype:
                kind = "nothing" if found is None else f"{found.dtype} of shape {found.shape}"
                raise UserError(f"state: expected {name}, {present.dtype} of shape {present.shape}, found {kind}")
        n_symbols, n_bars = self.block.flags.shape
        bar, stop, symbol = state["account.bar"], state["account.stop"], state["holding.symbol"]
        if bar.min() < 0 or (bar > stop).any() or stop.max() >= n_bars or symbol.min() < 0 or symbol.max() >= n_symbols:
            raise UserError(
                f"state: expected indices within {n_symbols} symbols and {n_bars} bars, found others; "
                "restore it on the market it was saved from"
            )
        for name in kernel.ACCOUNT.names or ():
            self.accounts[name] = state[f"account.{name}"]
        for name in kernel.HOLDING.names or ():
            self.holdings[name] = state[f"holding.{name}"]


def possible_episodes(market: Market, config: TradingConfig) -> NDArray[np.int64]:
    """Every episode the market allows: (E, 3) symbol, first and last bar.

    An episode of one symbol stays within a run of observable bars; gaps of the symbol neither belong to a run nor end
    it. A run shorter than `episode_bars` is one episode. An episode of a portfolio starts at any bar at or after which
    at least one symbol can be traded.
    """
    rows = [np.empty((0, 3), np.int64)]
    if config.account == "portfolio":
        tradable = (market.observable & market.has_later_bar).any(axis=0)
        # A portfolio also passes over bars at which nothing can be traded.
        last = np.flatnonzero(tradable).max(initial=-1)
        rows.append(_within(-1, np.arange(last + 2 if last >= 0 else 0), config.episode_bars))
    else:
        for symbol in range(market.n_symbols):
            bars = np.flatnonzero(market.alive[symbol])
            # The last bar of an episode must be observable too: its observation bootstraps the value.
            edges = np.diff(np.concatenate([[False], market.observable[symbol, bars], [False]]).astype(np.int8))
            for begin, end in np.flatnonzero(edges).reshape(-1, 2):
                rows.append(_within(symbol, bars[begin:end], config.episode_bars))
    starts = np.concatenate(rows)
    if not len(starts):
        raise UserError("market: no bar is observable and has a next one, so no episode can start")
    starts[:, 1:] += market.first
    return starts


def _within(symbol: int, run: NDArray[np.intp], episode_bars: int | None) -> NDArray[np.int64]:
    """The episodes within a run of bars: (E, 3)."""
    steps = len(run) - 1 if episode_bars is None else min(episode_bars, len(run) - 1)
    if steps < 1:
        return np.empty((0, 3), np.int64)
    first = run[: len(run) - steps]
    return np.column_stack([np.full(len(first), symbol), first, run[steps:]]).astype(np.int64)
