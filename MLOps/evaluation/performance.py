"""What a ledger earned: return, risk, activity and costs, for the portfolio of all its accounts."""

import numpy as np
import pandas as pd

from MLOps.predictors.metrics import NO_VARIATION, sharpe
from MLOps.trading import Ledger


def portfolio_equity(ledger: Ledger) -> np.ndarray:
    """Sum of all accounts' equity at each close, (bars,)."""
    return ledger.equity.sum(axis=0)


def bar_returns(equity: np.ndarray) -> np.ndarray:
    """Simple returns between closes, (bars - 1,)."""
    return equity[1:] / equity[:-1] - 1


def max_drawdown(equity: np.ndarray) -> float:
    """Largest fall from a peak, as a positive fraction of it."""
    return float((1 - equity / np.maximum.accumulate(equity)).max())


def performance(ledger: Ledger, bars_per_year: int) -> dict[str, float]:
    """The figures of a backtest.

    `turnover` is the value traded over the mean equity, per year; `exposure` the mean gross position over equity;
    `win_rate` the share of bars with a position whose return was positive; `costs` are money.
    """
    equity = portfolio_equity(ledger)
    returns = bar_returns(equity)
    years = len(returns) / bars_per_year
    total = float(equity[-1] / equity[0])
    cagr = total ** (1 / years) - 1 if total > 0 else -1.0
    # Root mean square of the losses alone, over all bars (Sortino & Price, 1994, target 0).
    downside = float(np.sqrt(np.mean(np.minimum(returns, 0) ** 2)))
    drawdown = max_drawdown(equity)
    # A symbol whose life has ended keeps its last close, as in the equity.
    close = pd.DataFrame(ledger.close).ffill(axis=1).fillna(0).to_numpy()
    value = np.abs(ledger.position * close).sum(axis=0)
    traded = np.nansum(np.abs(ledger.order_shares) * np.nan_to_num(ledger.order_price))
    traded += np.nansum(np.abs(ledger.exit_shares) * np.nan_to_num(ledger.exit_price))
    # Held over some part of the bar: carried into it, or bought at its open, be it sold again before its close.
    carried, bought = ledger.position[:, :-1] != 0, ledger.order_shares[:, 1:] != 0
    invested = returns[(carried | bought).any(axis=0)]
    return {
        "total_return": total - 1,
        "cagr": cagr,
        "volatility": float(returns.std(ddof=1) * np.sqrt(bars_per_year)),
        "sharpe": sharpe(returns, bars_per_year),
        "sortino": float(returns.mean() / downside * np.sqrt(bars_per_year)) if downside > NO_VARIATION else 0.0,
        "calmar": cagr / drawdown if drawdown > 0 else 0.0,
        "max_drawdown": drawdown,
        "turnover": float(traded / equity.mean() / years),
        "exposure": float((value / equity).mean()),
        "win_rate": float((invested > 0).mean()) if len(invested) else 0.0,
        "costs": float(ledger.costs.sum()),
    }
