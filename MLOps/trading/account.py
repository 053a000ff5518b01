"""Actions, observation columns and order sizing of a single-asset account."""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MLOps.config.trading import TradingConfig
from MLOps.errors import UserError
from MLOps.trading import kernel
from MLOps.trading.market import Market


class Action(IntEnum):
    """The nine discrete actions of a single-asset account.

    A buy spends a fraction of the cash, costs included; it covers a short before it builds a long position. A sell
    reduces the position, long or short, by a fraction. REVERSE closes the position and opens the opposite one with the
    same number of shares, limited by the largest position; if shorts are not allowed it only closes.
    """

    HOLD = kernel.HOLD
    BUY_25 = kernel.BUY_25
    BUY_50 = kernel.BUY_50
    BUY_100 = kernel.BUY_100
    SELL_25 = kernel.SELL_25
    SELL_50 = kernel.SELL_50
    SELL_100 = kernel.SELL_100
    CLOSE = kernel.CLOSE_POSITION
    REVERSE = kernel.REVERSE


HOLDING_NAMES = ("position", "unrealised_pnl", "holding_bars")


def observation_columns(market: Market, config: TradingConfig) -> dict[str, int]:
    """Column index by name of an observation.

    An account of one symbol: the market's columns, then `position` (shares × close / equity), `unrealised_pnl` (gain as
    a fraction of the entry price), `holding_bars` (bars held / 100, at most 1) and `cash_ratio` (cash / equity).

    A portfolio: for each symbol, as `symbol.column`, the market's columns (0 if the symbol is not observable) and the
    three columns of its holding; then `cash_ratio`; then per symbol `symbol.observable`, 0 or 1.
    """
    asset = (*market.observation_names, *HOLDING_NAMES)
    if config.account == "per_symbol":
        names = [*asset, "cash_ratio"]
    else:
        names = [f"{symbol}.{name}" for symbol in market.symbols for name in asset]
        names += ["cash_ratio", *(f"{symbol}.observable" for symbol in market.symbols)]
    return {name: column for column, name in enumerate(names)}


def distinct_actions(observations: NDArray[np.float32], config: TradingConfig) -> NDArray[np.bool_]:
    """Which of the nine discrete actions are worth choosing between: (n, 9).

    An action that changes nothing, or leads to the position that an action before it leads to, is left out: selling
    without a position, buying without cash, CLOSE beside SELL_100. Fixed fees and whole lots do not count.

    Args:
        observations: (n, D) of accounts of one symbol.
    """
    rules = kernel.rules_of(replace(config, fee_fixed=0.0, lot_size=0.0))
    masks = np.empty((len(observations), len(Action)), np.bool_)
    positions = observations[:, -len(HOLDING_NAMES) - 1].astype(np.float64)
    kernel.distinct_actions(positions, observations[:, -1].astype(np.float64), rules, masks)
    return masks


def as_actions(actions: Any, shape: tuple[int, ...], discrete: bool) -> NDArray[Any]:
    """The actions in the kernel's types: int64 for choices among a list, float32 for shares and weights.

    Raises:
        UserError: for another shape, or fractions where choices among a list are expected.
    """
    actions = np.asarray(actions)
    if actions.shape != shape or actions.dtype.kind not in ("iu" if discrete else "iuf"):
        wanted = "whole numbers" if discrete else "numbers"
        raise UserError(f"expected actions: {wanted} of shape {shape}, found {actions.dtype} of shape {actions.shape}")
    return np.ascontiguousarray(actions, np.int64 if discrete else np.float32)


@dataclass(frozen=True)
class Account:
    """State of a single-asset account at a bar's close.

    Attributes:
        cash: in the currency of the bars.
        shares: position, negative when short.
        entry_price: average price at which the position was built; arbitrary when there is no position.
        holding_bars: number of closes since the position was opened.
    """

    cash: float
    shares: float = 0.0
    entry_price: float = 0.0
    holding_bars: int = 0

    def overdrawn(self, price: float) -> bool:
        """Whether cash is below zero by more than rounding, with the position valued at `price`.

        No order overdraws an account of one symbol; rounding may leave cash of -1e-11.
        """
        size = abs(self.cash) + abs(self.shares) * price
        return self.cash < -(kernel.CASH_DUST * size + 2 * kernel.MIN_ORDER_VALUE)


def observe(row: NDArray[np.float32], account: Account, close: float) -> NDArray[np.float32]:
    """Observation of an account of one symbol at one bar: (F + 4,) in the order of `observation_columns`.

    Args:
        row: (F,) the market's observations at the bar.
        account: the account at the bar's close.
        close: the bar's close.
    """
    out = np.empty(len(row) + len(HOLDING_NAMES) + 1, dtype=np.float32)
    out[: len(row)] = row
    kernel.observe_decision(
        float(account.cash),
        float(account.shares),
        float(account.entry_price),
        int(account.holding_bars),
        float(close),
        out[len(row) :],
    )
    return out


def target_shares(
    action: float, account: Account, price: float, config: TradingConfig, turbulence: float = np.nan
) -> float:
    """The position, in shares, after the order of `action` has filled at `price` before slippage.

    The volume of the bar in which the order fills is not known yet, so `max_participation` is not applied.

    Args:
        action: one of `Action`, or under the schemes `targets` and `weights` a weight in [-1, 1], NaN for no order.
        account: the account of one symbol when the decision is made.
        price: sizes the order: the next open if known, else the last close.
        config: costs and limits.
        turbulence: of the whole market when the decision is made; at or above the configured stop the position is
            closed.

    Raises:
        UserError: for an account of several symbols.
    """
    if config.account != "per_symbol":
        raise UserError("target_shares: expected an account of one symbol, found trading.account 'portfolio'")
    state = (float(account.cash), float(account.shares), float(price), float(turbulence), kernel.rules_of(config))
    if config.scheme == "discrete":
        return float(kernel.discrete_target(int(action), *state))
    return float(kernel.weight_target(float(np.float32(action)), *state))
