"""Baselines of one account over all symbols, on markets whose symbols come and go."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from MLOps.config.trading import TradingConfig
from MLOps.evaluation.backtest import backtest
from MLOps.evaluation.baselines import (
    buy_and_hold,
    in_weights,
    inverse_volatility,
    moving_average_cross,
    random_timing,
    rebalanced_equal_weight,
)
from MLOps.evaluation.performance import Portfolio, performance
from MLOps.trading import Ledger, Market, simulate
from tests.evaluation.price_markets import market_of, random_walk
from tests.evaluation.test_baselines import CONFIG, tables

FREE: dict[str, Any] = {"account": "portfolio", "fee_bps": 0.0, "delisting_loss": 0.0}
RULES = TradingConfig(scheme="weights", **FREE)
PORTFOLIOS = {
    "weights": RULES,
    "with costs and a band": TradingConfig(scheme="weights", account="portfolio", rebalance_band=0.3, fee_bps=5.0),
    "half in cash": TradingConfig(scheme="weights", max_gross=0.5, **FREE),
    "shares": TradingConfig(scheme="shares", **FREE),
}


def changing(seed: int = 0, symbols: int = 5, bars: int = 200) -> Market:
    """One symbol is listed late, one ends early, one lacks bars; volatilities differ."""
    closes = random_walk(seed, symbols, bars) ** np.linspace(0.5, 1.5, symbols)[:, None]
    closes[1, :60] = closes[2, 120:] = closes[3, 80:83] = np.nan
    return market_of(closes)


def weights_after(ledger: Ledger) -> np.ndarray:
    """(symbols, bars) value at the closes over equity."""
    close = pd.DataFrame(ledger.close).ffill(axis=1).fillna(0).to_numpy()
    return ledger.position * close / ledger.equity


def test_rebalanced_equal_weight_earns_the_mean_return_of_the_listed() -> None:
    closes = random_walk(0, 4, 100)
    closes[1, :40] = closes[2, 70:] = np.nan
    market = market_of(closes)
    ledger = simulate(rebalanced_equal_weight(market, RULES, CONFIG), market, RULES)
    earned = np.diff(ledger.equity[0]) / ledger.equity[0, :-1]
    returns = closes[:, 1:] / closes[:, :-1] - 1
    expected = np.nanmean(returns, axis=0)
    # Nobody knows at its last close that a symbol ends: its part is cash for a bar.
    expected[69] *= 3 / 4
    # Orders fill at the open, which is the close before. Weights are float32.
    np.testing.assert_allclose(earned, expected, atol=1e-6)


def test_equal_weights_fill_the_portfolio_whoever_is_listed() -> None:
    market = changing()
    weights = weights_after(simulate(rebalanced_equal_weight(market, RULES, CONFIG), market, RULES))
    for bar, listed in ((30, [0, 2, 3, 4]), (100, [0, 1, 2, 3, 4]), (180, [0, 1, 3, 4])):
        np.testing.assert_allclose(weights[listed, bar], 1 / len(listed), atol=0.02)
        assert weights[:, bar].sum() == pytest.approx(1, abs=1e-5)
    assert weights[3, 81] == pytest.approx(0.2, abs=0.02), "held over its outage"


def test_rebalances_are_as_many_bars_apart_as_configured() -> None:
    market = market_of(random_walk(1, 3, 100))
    config = replace(CONFIG, rebalance_bars=10)
    ledger = simulate(rebalanced_equal_weight(market, RULES, config), market, RULES)
    traded = np.flatnonzero((ledger.order_shares != 0).any(axis=0))
    np.testing.assert_array_equal(traded, np.arange(1, 100, 10))


def test_inverse_volatility_is_computed_from_the_past_alone() -> None:
    closes = random_walk(2, 4, 120) ** np.array([0.5, 1.0, 1.5, 2.0])[:, None]
    market = market_of(closes)
    bars, _ = tables(market)
    seen: dict[int, np.ndarray] = {}
    policy = inverse_volatility(bars, market, RULES, CONFIG)

    def recorded(observations: np.ndarray, symbols: np.ndarray, bar: int) -> np.ndarray:
        seen[bar] = policy(observations, symbols, bar)[0]
        return seen[bar][None]

    simulate(recorded, market, RULES)
    n = CONFIG.volatility_bars
    for bar in (n + 5, 60, 118):
        deviations = np.log(closes[:, bar - n : bar + 1])
        volatility = np.diff(deviations, axis=1).std(axis=1)
        np.testing.assert_allclose(seen[bar], (1 / volatility) / (1 / volatility).sum(), rtol=1e-6)
    assert not seen[n - 1].any(), "nothing is known before"
    # What comes later changes nothing.
    spoilt = bars.assign(close=np.where(bars["timestamp"] > bars["timestamp"].unique()[60], 7.0, bars["close"]))
    policy, told = inverse_volatility(spoilt, market, RULES, CONFIG), dict(seen)
    simulate(recorded, market, RULES)
    for bar in range(61):
        np.testing.assert_array_equal(seen[bar], told[bar])


def test_a_price_that_does_not_move_has_no_part() -> None:
    closes = random_walk(3, 3, 60)
    closes[1] = 100.0
    market = market_of(closes)
    ledger = simulate(inverse_volatility(tables(market)[0], market, RULES, CONFIG), market, RULES)
    assert not ledger.position[1].any() and ledger.position[0, -1] > 0


@pytest.mark.parametrize("kind", PORTFOLIOS)
def test_buy_and_hold_invests_in_who_is_listed(kind: str) -> None:
    """Those not yet listed, or gone before, do not leave cash idle, and a band does not keep it from buying."""
    own = in_weights(PORTFOLIOS[kind])
    full, market = 0.98 * own.max_gross, changing()
    ledger = simulate(buy_and_hold(market, own), market, own)
    weights = weights_after(ledger)
    assert weights[:, 5].sum() > full
    gone = market_of(np.where(np.arange(200) < 50, random_walk(0, 3, 200), np.array([[np.nan], [1], [1]]) * 100.0))
    late = gone.between(gone.timestamps[60], None)
    held = weights_after(simulate(buy_and_hold(late, own), late, own))
    assert held[:, 5].sum() > full and not held[0].any()


@pytest.mark.parametrize("kind", PORTFOLIOS)
def test_a_backtest_of_a_portfolio_has_its_baselines(kind: str) -> None:
    trading, market = PORTFOLIOS[kind], changing()
    bars, signals = tables(market)

    def agent(observations: np.ndarray, symbols: np.ndarray, bar: int) -> np.ndarray:
        return np.random.default_rng(bar).uniform(0 if kind != "shares" else -1, 1, (1, len(symbols)))

    result = backtest(agent, market, bars, signals, trading, CONFIG, seed=0)
    assert {"rebalanced_equal_weight", "inverse_volatility", "buy_and_hold"} <= set(result.ledgers)
    for ledger in result.ledgers.values():
        assert ledger.equity.shape == (1, market.n_bars)
        own = Portfolio.of(ledger)
        assert own.total_return == pytest.approx(ledger.equity[0, -1] / ledger.equity[0, 0] - 1)
        assert own.exposure.max() <= 1.01
        if trading.max_gross < 1:
            assert own.exposure[:10].max() < trading.max_gross + 0.05
    if kind == "shares":
        for name in ("rebalanced_equal_weight", "buy_and_hold"):
            shares = result.ledgers[name].position
            np.testing.assert_allclose(shares, np.round(shares), atol=1e-6)
    assert len(np.unique(result.random_total_returns)) > 1


def test_accounts_of_one_symbol_are_not_rebalanced() -> None:
    market = changing()
    bars, signals = tables(market)
    own = TradingConfig(scheme="weights")
    names = set(backtest(buy_and_hold(market, own), market, bars, signals, own, CONFIG, seed=0).ledgers)
    assert not names & {"rebalanced_equal_weight", "inverse_volatility"}


def test_random_timing_of_a_portfolio_keeps_turnover_and_exposure() -> None:
    trading = TradingConfig(scheme="weights", account="portfolio")
    market = market_of(random_walk(5, 4, 400))
    bars, _ = tables(market)
    ledger = simulate(moving_average_cross(bars, market, trading, CONFIG), market, trading)
    own = performance(ledger, 252)
    draws = [performance(draw, 252) for draw in random_timing(ledger, market, trading, 20, seed=0)]
    for name, tolerance in (("turnover", 0.25), ("exposure", 0.1)):
        np.testing.assert_allclose([draw[name] for draw in draws], own[name], rtol=tolerance)
    assert len({draw["total_return"] for draw in draws}) > 10
