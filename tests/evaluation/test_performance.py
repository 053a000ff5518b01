"""The metrics of a backtest against an independent computation, and in cases whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from MLOps.config.trading import TradingConfig
from MLOps.evaluation.baselines import buy_and_hold, flat
from MLOps.evaluation.performance import Portfolio, performance
from MLOps.trading import Action, simulate
from tests.evaluation.price_markets import market_of, random_walk

BARS_PER_YEAR = 252


@pytest.fixture
def close() -> np.ndarray:
    return 100 * np.exp(np.cumsum(np.random.default_rng(3).normal(0.0005, 0.01, 500)))


def test_metrics_agree_with_pandas(close: np.ndarray) -> None:
    market, trading = market_of(close), TradingConfig(scheme="weights", fee_bps=10.0)
    ledger = simulate(buy_and_hold(market, trading), market, trading)
    metrics = performance(ledger, BARS_PER_YEAR)
    equity = pd.Series(ledger.equity[0])
    returns = equity.pct_change().dropna()
    assert metrics["total_return"] == pytest.approx(equity.iloc[-1] / equity.iloc[0] - 1)
    assert metrics["volatility"] == pytest.approx(returns.std() * BARS_PER_YEAR**0.5)
    assert metrics["sharpe"] == pytest.approx(returns.mean() / returns.std() * BARS_PER_YEAR**0.5)
    losses = returns.clip(upper=0)
    assert metrics["sortino"] == pytest.approx(returns.mean() / (losses**2).mean() ** 0.5 * BARS_PER_YEAR**0.5)
    drawdown = (1 - equity / equity.cummax()).max()
    assert metrics["max_drawdown"] == pytest.approx(drawdown)
    years = len(returns) / BARS_PER_YEAR
    cagr = (equity.iloc[-1] / equity.iloc[0]) ** (1 / years) - 1
    assert metrics["cagr"] == pytest.approx(cagr)
    assert metrics["calmar"] == pytest.approx(cagr / drawdown)
    # One purchase for all the cash, which pays its fee: value = cash / (1 + fee).
    value = 100_000 / 1.001
    assert metrics["costs"] == pytest.approx(value * 0.001)
    assert metrics["turnover"] == pytest.approx(value / equity.mean() / years)
    assert metrics["win_rate"] == pytest.approx((returns > 0).mean())


def test_doing_nothing_costs_and_earns_nothing(close: np.ndarray) -> None:
    market, trading = market_of(close), TradingConfig(scheme="weights")
    metrics = performance(simulate(flat(market, trading), market, trading), BARS_PER_YEAR)
    assert set(metrics.values()) == {0.0}


def test_a_losing_account_that_goes_bankrupt_has_finite_metrics() -> None:
    close = np.concatenate([np.full(5, 100.0), [100, 100, 350, 350, 350]])
    short = iter([Action.BUY_100, Action.REVERSE])
    ledger = simulate(
        lambda rows, symbols, bar: np.array([next(short, Action.HOLD)]),
        market_of(close),
        TradingConfig(scheme="discrete", allow_short=True, maintenance_margin=0.0),
    )
    assert ledger.equity[0, -1] <= 0
    assert all(np.isfinite(value) for value in performance(ledger, BARS_PER_YEAR).values())


def test_symbols_that_have_ended_change_no_metric() -> None:
    """Nor do those that are listed after the last bar at which a decision can fill."""
    living = random_walk(0, symbols=3, bars=250)
    dead = random_walk(1, symbols=20, bars=250)
    dead[:, 1:] = np.nan
    unborn = random_walk(2, symbols=1, bars=250)
    unborn[:, :-1] = np.nan
    trading = TradingConfig(scheme="weights")

    def metrics(closes: np.ndarray) -> dict[str, float]:
        market = market_of(closes)
        return performance(simulate(buy_and_hold(market, trading), market, trading), BARS_PER_YEAR)

    assert metrics(np.concatenate([living, dead[:, :], unborn])) == pytest.approx(metrics(living), rel=1e-12)


def test_capital_that_arrives_with_a_listing_earns_nothing_by_arriving() -> None:
    """The return is that of the accounts that count at both ends of a bar, weighted by their equity at the first."""
    closes = random_walk(3, symbols=2, bars=200)
    closes[1, :120] = np.nan
    market, trading = market_of(closes), TradingConfig(scheme="weights", fee_bps=0.0)
    portfolio = Portfolio.of(simulate(buy_and_hold(market, trading), market, trading))
    first, second = (pd.Series(row).pct_change().to_numpy() for row in closes)
    # The first order fills at the open of bar 1, where the bar before closed.
    np.testing.assert_allclose(portfolio.returns[:120], first[1:121], rtol=1e-9)
    values = np.array([100_000 * np.nancumprod(1 + first), 100_000 * np.nancumprod(1 + np.nan_to_num(second))])
    expected = (values[:, 121:] - values[:, 120:-1]).sum(axis=0) / values[:, 120:-1].sum(axis=0)
    np.testing.assert_allclose(portfolio.returns[120:], expected, rtol=1e-9)
    assert len(portfolio.timestamps) == len(portfolio.equity) == 200


def test_the_portfolio_begins_where_the_first_account_does() -> None:
    closes = random_walk(4, symbols=2, bars=100)
    closes[:, :30] = np.nan
    market, trading = market_of(closes), TradingConfig(scheme="weights")
    portfolio = Portfolio.of(simulate(buy_and_hold(market, trading), market, trading))
    assert portfolio.timestamps[0] == market.timestamps[30]
    assert len(portfolio.returns) == 69
