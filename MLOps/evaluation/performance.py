"""What a ledger earned: return, risk, activity and costs, for the portfolio of all its accounts."""

import numpy as np
import pandas as pd

from MLOps.predictors.metrics import annual_growth, risk_ratios
from MLOps.trading import Ledger


def portfolio_equity(ledger: Ledger) -> np.ndarray:
    """Sum of all accounts' equity at each close, (bars,)."""
    return ledger.equity.sum(axis=0)


def bar_returns(equity: np.ndarray) -> np.ndarray:
    """Simple returns between closes, (bars - 1,)."""
    return equity[1:] / equity[:-1] - 1


def performance(ledger: Ledger, bars_per_year: int) -> dict[str, float]:
    """The figures of a backtest.

    `turnover` is the value traded over the mean equity, per year; `exposure` the mean gross position over equity;
    `win_rate` the share of bars with a position whose return was positive; `costs` are money.
    """
    equity = portfolio_equity(ledger)
    returns = bar_returns(equity)
    years = len(returns) / bars_per_year
    # A symbol whose life has ended keeps its last close, as in the equity.
    close = pd.DataFrame(ledger.close).ffill(axis=1).fillna(0).to_numpy()
    value = np.abs(ledger.position * close).sum(axis=0)
    traded = np.nansum(np.abs(ledger.order_shares) * np.nan_to_num(ledger.order_price))
    traded += np.nansum(np.abs(ledger.exit_shares) * np.nan_to_num(ledger.exit_price))
    # Held over some part of the bar: carried into it, or bought at its open, be it sold again before its close.
    carried, bought = ledger.position[:, :-1] != 0, ledger.order_shares[:, 1:] != 0
    invested = returns[(carried | bought).any(axis=0)]
    return {
        "total_return": float(equity[-1] / equity[0]) - 1,
        "cagr": annual_growth(equity, bars_per_year),
        "volatility": float(returns.std(ddof=1) * np.sqrt(bars_per_year)),
        **risk_ratios(returns, equity, bars_per_year),
        "turnover": float(traded / equity.mean() / years),
        "exposure": float((value / equity).mean()),
        "win_rate": float((invested > 0).mean()) if len(invested) else 0.0,
        "costs": float(ledger.costs.sum()),
    }
