"""One decision of a portfolio: what the account observes, and the positions that its actions lead to."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MLOps.config.trading import TradingConfig
from MLOps.trading import kernel
from MLOps.trading.account import HOLDING_NAMES
from MLOps.trading.market import CLOSE, OBSERVABLE, OPEN


@dataclass(frozen=True, eq=False)
class PortfolioAccount:
    """State of an account of S symbols at a bar's close.

    Attributes:
        cash: in the currency of the bars.
        shares, entry_price, holding_bars: (S,) as in `Account`.
        close: (S,) the last close of each symbol; 0 where it has had no bar.
    """

    cash: float
    shares: NDArray[np.float64]
    entry_price: NDArray[np.float64]
    holding_bars: NDArray[np.int64]
    close: NDArray[np.float64]


def observe_portfolio(rows: NDArray[np.float32], account: PortfolioAccount) -> NDArray[np.float32]:
    """The portfolio's observation at one bar: (D,) in the order of `observation_columns`.

    Args:
        rows: (S, F) the market's observations at the bar; NaN where a symbol is not observable.
    """
    out = np.empty(rows.shape[0] * (rows.shape[1] + len(HOLDING_NAMES) + 1) + 1, np.float32)
    observable: NDArray[np.bool_] = np.asarray(np.isfinite(rows).all(axis=1))
    flags = (OBSERVABLE * observable[:, None]).astype(np.uint8)
    accounts, holdings = _records(account)
    observations = np.ascontiguousarray(rows[:, None], np.float32)
    kernel.observe_portfolio(accounts, holdings, observations, flags, kernel.rules_of(_RULES), out)
    return out


def portfolio_target_shares(
    actions: NDArray[np.float32],
    account: PortfolioAccount,
    observable: NDArray[np.bool_],
    config: TradingConfig,
    turbulence: float = np.nan,
) -> NDArray[np.float64]:
    """The positions, in shares, after the orders of `actions` have filled at the closes before slippage: (S,).

    The next bar is not known yet, so every symbol that is observable now is taken to have one, and `max_participation`
    is not applied.

    Args:
        actions: (S,) under the rules' scheme.
        observable: (S,) whether a decision on the symbol is possible; the others keep their positions.
        turbulence: of the whole market when the decision is made; at or above the configured stop all observable
            positions are closed.
    """
    accounts, holdings = _records(account)
    prices = np.full((len(observable), 2, 4), np.nan)
    prices[observable, 0, CLOSE] = prices[observable, 1, OPEN] = account.close[observable]
    flags = np.repeat((OBSERVABLE * observable[:, None]).astype(np.uint8), 2, axis=1)
    details = np.full((len(observable), 2, 3), np.nan)
    rules = kernel.rules_of(replace(config, max_participation=None))
    actions = np.ascontiguousarray(actions, np.float32)
    kernel.fill_decision(actions, float(turbulence), accounts, holdings, prices, details, flags, rules)
    shares: NDArray[np.float64] = holdings["shares"][0].copy()
    return shares


# No rule but the kind of account changes an observation.
_RULES = TradingConfig(scheme="weights", account="portfolio")


def _records(account: PortfolioAccount) -> tuple[NDArray[Any], NDArray[Any]]:
    accounts, holdings = np.zeros(1, kernel.ACCOUNT), np.zeros((1, len(account.shares)), kernel.HOLDING)
    accounts["cash"] = account.cash
    holdings["symbol"] = np.arange(len(account.shares))
    holdings["price"] = account.close
    for name in ("shares", "entry_price", "holding_bars"):
        holdings[name] = getattr(account, name)
    holdings["waiting"] = holdings["wish"] = np.nan
    return accounts, holdings
