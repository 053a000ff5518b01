"""One decision of a portfolio outside a simulation: the same observation, the same positions, the same bits."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from MLOps.config.trading import TradingConfig
from MLOps.trading import (
    Ledger,
    Market,
    PortfolioAccount,
    observation_columns,
    observe_portfolio,
    portfolio_symbols,
    portfolio_target_shares,
    simulate,
)
from tests.trading.sequences import random_actions, random_market, unlike_markets

RULES: dict[str, dict[str, Any]] = {
    "weights": {"scheme": "weights", "allow_short": True, "slippage_bps": 3.0, "max_position": 0.4},
    "long only, fixed fees, lots": {"scheme": "weights", "fee_fixed": 2.0, "lot_size": 1.0},
    "band at the close": {"scheme": "weights", "allow_short": True, "rebalance_band": 0.05, "fill": "close"},
    "shares": {"scheme": "shares", "max_order_shares": 300},
}


def account_at(ledger: Ledger, bar: int) -> PortfolioAccount:
    return PortfolioAccount(
        cash=ledger.cash[0, bar],
        shares=ledger.position[:, bar],
        entry_price=ledger.entry_price[:, bar],
        holding_bars=ledger.holding_bars[:, bar],
        close=last_close(ledger, bar),
    )


def last_close(ledger: Ledger, bar: int) -> np.ndarray:
    known = [close[: bar + 1][np.isfinite(close[: bar + 1])] for close in ledger.close]
    return np.array([own[-1] if len(own) else 0.0 for own in known])


def traded(config: TradingConfig, market: Market, seed: int) -> tuple[Ledger, list[tuple[int, np.ndarray]]]:
    """A random policy's ledger, and the bars at which it was asked with what it saw."""
    actions = random_actions(np.random.default_rng(seed), market, config.scheme, 0.3)
    seen = []

    def policy(observations: np.ndarray, symbols: np.ndarray, bar: int) -> np.ndarray:
        seen.append((bar, observations[0].copy()))
        return actions[symbols, bar][None]

    return simulate(policy, market, config), seen


@pytest.mark.parametrize("name", unlike_markets())
@pytest.mark.parametrize("kind", RULES)
def test_a_portfolio_observes_what_the_simulation_shows(name: str, kind: str) -> None:
    market, config = unlike_markets()[name], TradingConfig(account="portfolio", **RULES[kind])
    ledger, seen = traded(config, market, 1)
    assert len(seen) > 20
    for bar, expected in seen:
        rows = np.where(market.observable[:, bar, None], market.observations[:, bar], np.nan)
        np.testing.assert_array_equal(observe_portfolio(rows, account_at(ledger, bar)), expected)


@pytest.mark.parametrize("kind", RULES)
def test_targets_are_the_positions_after_orders_that_fill_at_the_close(kind: str) -> None:
    """Where each open is the close before, and every symbol has the next bar, they are the simulation's bit for bit."""
    market = random_market(np.random.default_rng(3), 6, 120, gap=0.0, ragged=True, missing=0.05)
    close = market.block.prices[..., 3]
    market.block.prices[:, 1:, 0] = np.where(np.isfinite(close[:, :-1]), close[:, :-1], market.block.prices[:, 1:, 0])
    config = TradingConfig(account="portfolio", maintenance_margin=0.0, borrow_bps_per_year=0.0, **RULES[kind])
    ledger, seen = traded(config, market, 2)
    compared = 0
    for bar, _ in seen:
        observable, later = market.observable[:, bar], market.alive[:, bar + 1]
        newly = market.alive[:, bar + 1] & ~market.alive[:, bar]
        if (ledger.exit_shares[:, bar + 1] != 0).any() or (observable & ~later).any() or newly.any():
            continue
        targets = portfolio_target_shares(ledger.actions[:, bar], account_at(ledger, bar), observable, config)
        np.testing.assert_array_equal(targets, ledger.position[:, bar + 1])
        compared += 1
    assert compared > 50 and (np.diff(ledger.position, axis=1) != 0).sum() > 100


def test_turbulence_closes_what_can_be_traded() -> None:
    config = TradingConfig(scheme="weights", account="portfolio", turbulence_stop=0.5)
    account = PortfolioAccount(
        100.0, np.array([1.0, 2.0]), np.array([9.0, 9.0]), np.array([1, 1]), np.array([10.0, 10.0])
    )
    targets = portfolio_target_shares(np.ones(2, np.float32), account, np.array([True, False]), config, 0.6)
    assert targets.tolist() == [0.0, 2.0]


def test_the_columns_name_the_symbols() -> None:
    market = random_market(np.random.default_rng(0), 3, 20)
    columns = observation_columns(market, TradingConfig(scheme="weights", account="portfolio"))
    assert portfolio_symbols(columns) == market.symbols
    assert portfolio_symbols(observation_columns(market, TradingConfig())) == ()


def test_a_band_does_not_keep_a_portfolio_of_many_symbols_in_cash() -> None:
    market = random_market(np.random.default_rng(5), 30, 40, volatility=0.01, gap=0.0)
    config = TradingConfig(scheme="weights", account="portfolio", rebalance_band=0.1, fee_bps=0.0)
    ledger = simulate(lambda seen, symbols, bar: np.full((1, 30), 1 / 30), market, config)
    weights = ledger.position * ledger.close / ledger.equity
    assert weights[:, 1:].min() > 0.9 / 30 - 0.003 and weights[:, 1:].max() < 1.1 / 30 + 0.003
    free = simulate(lambda seen, symbols, bar: np.full((1, 30), 1 / 30), market, replace(config, rebalance_band=0.0))
    assert (ledger.order_shares != 0).sum() < 0.5 * (free.order_shares != 0).sum()
