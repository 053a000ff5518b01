"""The figures of a backtest against an independent computation, and in cases whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from MLOps.config.trading import TradingConfig
from MLOps.evaluation.baselines import buy_and_hold, flat
from MLOps.evaluation.performance import bar_returns, performance, portfolio_equity
from MLOps.predictors.metrics import max_drawdown, sharpe
from MLOps.trading import Action, Market, simulate

BARS_PER_YEAR = 252


def market(close: np.ndarray) -> Market:
    """One symbol that opens where it closed before; nothing to observe but a constant."""
    opened = np.concatenate([[close[0]], close[:-1]])
    prices = np.stack([opened, np.maximum(opened, close), np.minimum(opened, close), close], axis=1)[None]
    timestamps = pd.date_range("2020-01-01", periods=len(close)).to_numpy()
    return Market(("A",), timestamps, prices, np.zeros((1, len(close), 1), np.float32), ("constant",))


@pytest.fixture
def close() -> np.ndarray:
    return 100 * np.exp(np.cumsum(np.random.default_rng(3).normal(0.0005, 0.01, 500)))


def test_figures_agree_with_pandas(close: np.ndarray) -> None:
    ledger = simulate(buy_and_hold(), market(close), TradingConfig(fee_bps=10.0))
    figures = performance(ledger, BARS_PER_YEAR)
    equity = pd.Series(ledger.equity[0])
    returns = equity.pct_change().dropna()
    assert figures["total_return"] == pytest.approx(equity.iloc[-1] / equity.iloc[0] - 1)
    assert figures["volatility"] == pytest.approx(returns.std() * BARS_PER_YEAR**0.5)
    assert figures["sharpe"] == pytest.approx(returns.mean() / returns.std() * BARS_PER_YEAR**0.5)
    losses = returns.clip(upper=0)
    assert figures["sortino"] == pytest.approx(returns.mean() / (losses**2).mean() ** 0.5 * BARS_PER_YEAR**0.5)
    drawdown = (1 - equity / equity.cummax()).max()
    assert figures["max_drawdown"] == pytest.approx(drawdown)
    years = len(returns) / BARS_PER_YEAR
    cagr = (equity.iloc[-1] / equity.iloc[0]) ** (1 / years) - 1
    assert figures["cagr"] == pytest.approx(cagr)
    assert figures["calmar"] == pytest.approx(cagr / drawdown)
    # One purchase for all the cash, which pays its fee: value = cash / (1 + fee).
    value = 100_000 / 1.001
    assert figures["costs"] == pytest.approx(value * 0.001)
    assert figures["turnover"] == pytest.approx(value / equity.mean() / years)
    assert figures["win_rate"] == pytest.approx((returns > 0).mean())


def test_doing_nothing_costs_and_earns_nothing(close: np.ndarray) -> None:
    figures = performance(simulate(flat(), market(close), TradingConfig()), BARS_PER_YEAR)
    assert set(figures.values()) == {0.0}


def test_known_answers() -> None:
    assert max_drawdown(np.array([1.0, 2.0, 1.0, 3.0, 2.4])) == 0.5
    assert sharpe(np.full(10, 0.01), BARS_PER_YEAR) == 0.0, "what never varies has no ratio"
    np.testing.assert_allclose(bar_returns(np.array([1.0, 1.1, 0.99])), [0.1, -0.1])


def test_a_losing_account_that_goes_bankrupt_has_finite_figures() -> None:
    close = np.concatenate([np.full(5, 100.0), [100, 100, 350, 350, 350]])
    short = iter([Action.BUY_100, Action.REVERSE])
    ledger = simulate(
        lambda rows, symbols, bar: np.array([next(short, Action.HOLD)]),
        market(close),
        # Bought back only when nothing is left, and then the fee is missing.
        TradingConfig(allow_short=True, maintenance_margin=0.0),
    )
    assert portfolio_equity(ledger)[-1] <= 0
    assert all(np.isfinite(value) for value in performance(ledger, BARS_PER_YEAR).values())
