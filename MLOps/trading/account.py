"""The words in which an account is spoken to: the nine actions, the columns it sees, and one decision by itself."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MLOps.config.trading import TradingConfig
from MLOps.errors import UserError
from MLOps.trading import kernel
from MLOps.trading.market import Market


class Action(IntEnum):
    """The nine discrete actions, for an account of one asset.

    A buy spends a fraction of the cash, costs included, and so covers a short before it builds a long position. A sell
    moves the position, long or short, towards zero by a fraction of itself. REVERSE closes the position and opens the
    opposite one of as many shares, at most what the largest position allows; where shorts are not allowed it closes.
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
    """The index of every column of an observation, by name.

    `discrete`: the market's columns, then `position` (shares × close / equity), `unrealised_pnl` (gain as a fraction of
    the entry price), `holding_bars` (bars held / 100, at most 1) and `cash_ratio` (cash / equity).

    `shares` and `weights`: for each symbol the market's columns and the three of its holding, as `symbol.column`, 0
    where the symbol is not observable; then `cash_ratio`; then per symbol `symbol.observable`, 0 or 1.
    """
    asset = (*market.observation_names, *HOLDING_NAMES)
    if config.scheme == "discrete":
        names = [*asset, "cash_ratio"]
    else:
        names = [f"{symbol}.{name}" for symbol in market.symbols for name in asset]
        names += ["cash_ratio", *(f"{symbol}.observable" for symbol in market.symbols)]
    return {name: column for column, name in enumerate(names)}


def as_actions(actions: Any, shape: tuple[int, ...], discrete: bool) -> NDArray[Any]:
    """The actions as the kernel takes them: int64 for the nine, float32 for portfolios.

    Raises:
        UserError: for another shape, or fractions where one of the nine is expected.
    """
    actions = np.asarray(actions)
    if actions.shape != shape or actions.dtype.kind not in ("iu" if discrete else "iuf"):
        wanted = "whole numbers" if discrete else "numbers"
        raise UserError(f"expected actions: {wanted} of shape {shape}, found {actions.dtype} of shape {actions.shape}")
    return np.ascontiguousarray(actions, np.int64 if discrete else np.float32)


@dataclass(frozen=True)
class Account:
    """An account of one asset at a bar's close: what a decision needs to know of the past.

    Attributes:
        cash: money.
        shares: position, negative when short.
        entry_price: average price at which the position was built; any number when there is none.
        holding_bars: closes that the position has lived through.
    """

    cash: float
    shares: float = 0.0
    entry_price: float = 0.0
    holding_bars: int = 0


def observe(row: NDArray[np.float32], account: Account, close: float) -> NDArray[np.float32]:
    """What the policy of a discrete account sees at one bar: (F + 4,) in the order of `observation_columns`.

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
    action: int, account: Account, price: float, config: TradingConfig, turbulence: float = np.nan
) -> float:
    """The position, in shares, that `action` leads to when its order fills at `price` before slippage.

    Args:
        action: one of `Action`.
        account: the account when the decision is made.
        price: the price to size the order by: the next open when it is known, else the last close.
        config: costs and limits.
        turbulence: of the whole market when the decision is made; at or above the stop the position is closed.
    """
    rules = kernel.rules_of(config)
    return float(
        kernel.discrete_target(
            int(action), float(account.cash), float(account.shares), float(price), float(turbulence), rules
        )
    )
