"""Return, risk, activity and costs of a ledger, for the portfolio of all its accounts.

An account counts from the first bar at which it can be asked for a decision to the last bar of its symbol. The
portfolio's return over a bar is the gain of the accounts that count at both of its ends over their equity at the
first: the time-weighted return, in which capital that comes with a listing or leaves with a delisting earns nothing.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from MLOps.statistics.returns import annual_growth, compounded, risk_ratios
from MLOps.trading import Ledger


@dataclass(frozen=True)
class Portfolio:
    """The accounts of a ledger as one.

    Attributes:
        timestamps: (n + 1,) of the closes from the first to the last bar at which any account counts.
        returns: (n,) between those closes.
        equity: (n + 1,) compounded from 1.
        exposure: (n + 1,) gross value of positions over equity.
        held: (n,) whether a position was held over some part of the bar.
    """

    timestamps: np.ndarray
    returns: np.ndarray
    equity: np.ndarray
    exposure: np.ndarray
    held: np.ndarray

    @classmethod
    def of(cls, ledger: Ledger) -> "Portfolio":
        counts = account_counts(ledger)
        both = counts[:, :-1] & counts[:, 1:]
        bars = np.flatnonzero(both.any(axis=0))
        if not len(bars):
            raise ValueError("no account can ever be asked for a decision")
        span, steps = slice(bars[0], bars[-1] + 2), slice(bars[0], bars[-1] + 1)
        capital = (ledger.equity[:, :-1] * both).sum(axis=0)
        gain = (np.diff(ledger.equity, axis=1) * both).sum(axis=0)
        # The return is 0 where no account counts, and of accounts that have lost everything.
        returns = np.divide(gain, capital, out=np.zeros_like(gain), where=capital > 0)[steps]
        # A delisted symbol keeps its last close, as in the equity.
        close = pd.DataFrame(ledger.close).ffill(axis=1).fillna(0).to_numpy()
        owner = np.arange(len(ledger.position)) % len(ledger.equity)
        value = np.abs(ledger.position * close) * counts[owner]
        total = (ledger.equity * counts).sum(axis=0)
        exposure = np.divide(value.sum(axis=0), total, out=np.zeros_like(total), where=total > 0)
        # Carried into the bar, or bought at its open, even if closed within the bar.
        held = ((ledger.position[:, :-1] != 0) | (ledger.order_shares[:, 1:] != 0)).any(axis=0)
        return cls(
            timestamps=ledger.timestamps[span],
            returns=returns,
            equity=compounded(returns),
            exposure=exposure[span],
            held=held[steps],
        )

    @property
    def total_return(self) -> float:
        return float(self.equity[-1]) - 1


def account_counts(ledger: Ledger) -> np.ndarray:
    """(accounts, bars): whether each account counts; that of a portfolio does from its first decision to the end."""
    if len(ledger.equity) == len(ledger.tradable):
        return ledger.tradable
    return np.logical_or.accumulate(ledger.tradable.any(axis=0))[None]


def performance(ledger: Ledger, bars_per_year: int) -> dict[str, float]:
    """The metrics of a backtest.

    `turnover` is the value traded over the mean capital, per year; `exposure` the mean gross position over equity;
    `win_rate` the share of bars with a position whose return was positive; `costs` are money.
    """
    portfolio = Portfolio.of(ledger)
    returns, equity = portfolio.returns, portfolio.equity
    years = len(returns) / bars_per_year
    capital = (ledger.equity * account_counts(ledger)).sum(axis=0)
    traded = np.nansum(np.abs(ledger.order_shares) * np.nan_to_num(ledger.order_price))
    traded += np.nansum(np.abs(ledger.exit_shares) * np.nan_to_num(ledger.exit_price))
    invested = returns[portfolio.held]
    return {
        "total_return": portfolio.total_return,
        "cagr": annual_growth(equity, bars_per_year),
        "volatility": float(returns.std(ddof=1) * np.sqrt(bars_per_year)),
        **risk_ratios(returns, equity, bars_per_year),
        "turnover": float(traded / capital[capital > 0].mean() / years),
        "exposure": float(portfolio.exposure.mean()),
        "win_rate": float((invested > 0).mean()) if len(invested) else 0.0,
        "costs": float(ledger.costs.sum()),
    }
