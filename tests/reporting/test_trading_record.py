"""Fills, exposure and attribution against the accounts they are read from."""

import numpy as np
import pandas as pd
import pytest

from MLOps.config.trading import TradingConfig
from MLOps.evaluation.performance import Portfolio
from MLOps.reporting.results import positions
from MLOps.reporting.trading_record import attribution, exposure, fills, is_portfolio
from MLOps.trading import Ledger, simulate
from tests.evaluation.price_markets import market_of, random_walk

ACCOUNTS = ["per_symbol", "portfolio"]


def traded(account: str, seed: int = 0, **rules: float) -> Ledger:
    generator = np.random.default_rng(seed)
    market = market_of(random_walk(seed, 3, 120))
    trading = TradingConfig(scheme="weights", account=account, fee_bps=10.0, fee_fixed=1.0, **rules)  # type: ignore[arg-type]

    def policy(rows: np.ndarray, symbols: np.ndarray, bar: int) -> np.ndarray:
        shape = (len(rows), len(symbols)) if account == "portfolio" else (len(symbols),)
        weights = generator.uniform(-0.3, 0.3, shape)
        return np.where(generator.random(shape) < 0.3, weights, np.nan)

    return simulate(policy, market, trading)


@pytest.mark.parametrize("account", ACCOUNTS)
def test_every_fill_is_listed_once_newest_first(account: str) -> None:
    ledger = traded(account)
    table = fills(ledger.to_frame())
    assert is_portfolio(ledger.to_frame()) == (account == "portfolio")
    assert len(table) == (ledger.order_shares != 0).sum() + (ledger.exit_shares != 0).sum()
    assert table["timestamp"].is_monotonic_decreasing
    value = np.nansum(np.abs(ledger.order_shares * ledger.order_price))
    value += np.nansum(np.abs(ledger.exit_shares * ledger.exit_price))
    assert table["value"].sum() == pytest.approx(value)
    assert ((table["side"] == "buy") == (table["shares"] > 0)).all()


@pytest.mark.parametrize("account", ACCOUNTS)
def test_without_borrowing_the_costs_of_the_fills_are_all_costs(account: str) -> None:
    ledger = traded(account, borrow_bps_per_year=0.0)
    assert fills(ledger.to_frame())["cost"].sum() == pytest.approx(ledger.costs.sum())


@pytest.mark.parametrize("account", ACCOUNTS)
def test_the_gains_of_the_symbols_are_the_gain_of_the_accounts(account: str) -> None:
    ledger = traded(account, slippage_bps=5.0)
    shares = attribution(ledger.to_frame())
    total = (ledger.equity[:, -1] - ledger.equity[:, 0]).sum()
    assert shares.total == pytest.approx(total)
    assert shares.by_symbol["gain"].sum() + shares.rest == pytest.approx(total)
    if account == "per_symbol":
        assert shares.rest == 0
    else:
        # What no symbol has: commission and borrowing, which no price holds.
        table = fills(ledger.to_frame())
        assert shares.rest < -(table["value"].sum() * 10 / 1e4 + len(table))
        assert shares.rest > -ledger.costs.sum()


@pytest.mark.parametrize("account", ACCOUNTS)
def test_gross_exposure_is_that_of_the_metrics(account: str) -> None:
    ledger = traded(account)
    table = exposure(ledger.to_frame())
    portfolio = Portfolio.of(ledger)
    own = table["gross"].to_numpy()[-len(portfolio.exposure) :]
    np.testing.assert_allclose(own, portfolio.exposure, atol=1e-12)
    assert (table["net"].abs() <= table["gross"] + 1e-12).all()


def test_what_is_held_has_its_last_known_close() -> None:
    stamps = pd.to_datetime(["2024-01-02", "2024-01-03"], utc=True)
    held = {"position": 10.0, "entry_price": 4.0, "holding_bars": 1}
    ledger = pd.DataFrame(
        [
            {"timestamp": stamps[0], "symbol": "A", "close": 5.0, **held},
            {"timestamp": stamps[1], "symbol": "A", "close": float("nan"), **held},
        ]
    )
    (row,) = positions(ledger)
    assert (row["close"], row["value"], row["gain"]) == (5.0, 50.0, 0.25)


def test_who_never_traded_has_no_fill() -> None:
    market, trading = market_of(random_walk(0, 2, 50)), TradingConfig(scheme="weights")
    ledger = simulate(lambda rows, symbols, bar: np.full(len(symbols), np.nan), market, trading).to_frame()
    assert fills(ledger).empty
    assert (attribution(ledger).by_symbol == 0).all(axis=None)
