"""Laws of markets and of a known system: no edge out of noise, and the share scheme of FinRL."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from MLOps.config.trading import TradingConfig
from MLOps.trading import Ledger, Market, simulate

EPISODES, BARS = 1_000, 100
SAMPLE = Path(__file__).parents[2] / "data" / "sample" / "bars.csv.gz"


def fair_market(seed: int) -> Market:
    """One martingale per episode: each open is the last close, and each close the open, times a factor of mean 1."""
    rng = np.random.default_rng(seed)

    def factors(volatility: float) -> np.ndarray:
        return np.exp(rng.normal(-(volatility**2) / 2, volatility, (EPISODES, BARS)))

    gaps, moves = factors(0.005), factors(0.015)
    close = 100 * np.cumprod(gaps * moves, axis=1)
    open_ = close / moves
    prices = np.stack([open_, np.maximum(open_, close), np.minimum(open_, close), close], axis=-1)
    timestamps = np.datetime64("2020-01-01", "ns") + np.arange(BARS) * np.timedelta64(1, "D")
    names = tuple(f"S{i:04d}" for i in range(EPISODES))
    return Market(names, timestamps, prices, np.zeros((EPISODES, BARS, 0), np.float32), ())


def random_trading(config: TradingConfig, seed: int = 0) -> Ledger:
    rng = np.random.default_rng(seed)
    return simulate(lambda observations, symbols, bar: rng.integers(0, 9, len(symbols)), fair_market(seed), config)


def interval(values: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the mean."""
    error = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    return values.mean() - error, values.mean() + error


@pytest.mark.parametrize("allow_short", [False, True])
def test_a_random_policy_has_no_edge_without_costs(allow_short: bool) -> None:
    ledger = random_trading(TradingConfig(scheme="discrete", fee_bps=0.0, allow_short=allow_short))
    low, high = interval(ledger.equity[:, -1] - ledger.equity[:, 0])
    assert low < 0 < high
    assert (ledger.order_shares != 0).sum() > 30 * EPISODES


@pytest.mark.parametrize("allow_short", [False, True])
def test_a_random_policy_loses_its_costs(allow_short: bool) -> None:
    costs_charged: Any = {"fee_bps": 10.0, "slippage_bps": 5.0, "fee_fixed": 1.0, "borrow_bps_per_year": 400.0}
    config = TradingConfig(scheme="discrete", allow_short=allow_short, **costs_charged)
    ledger = random_trading(config, seed=1)
    loss, costs = ledger.equity[:, 0] - ledger.equity[:, -1], ledger.costs.sum(axis=1)
    low, high = interval(loss - costs)
    assert low < 0 < high
    assert interval(loss)[0] > 0 and interval(costs)[0] > 500


def test_the_observed_close_flatters() -> None:
    """On closes that fall back to a level overnight, only a fill at the close just seen earns the way back."""
    market = fair_market(2)
    rng = np.random.default_rng(3)
    close = 100 * np.exp(rng.normal(0, 0.02, (EPISODES, BARS)))
    market.block.prices[..., 3] = close
    market.block.prices[..., 0] = 100.0
    market.block.prices[..., 1] = np.maximum(close, 100.0)
    market.block.prices[..., 2] = np.minimum(close, 100.0)

    def policy(observations: np.ndarray, symbols: np.ndarray, bar: int) -> np.ndarray:
        return np.where(close[symbols, bar] < 100, 3, 6)

    gains = {}
    for fill in ("next_open", "close"):
        config = TradingConfig(scheme="discrete", fee_bps=0.0, fill=fill)
        ledger = simulate(policy, market, config)
        gains[fill] = interval(ledger.equity[:, -1] / ledger.equity[:, 0] - 1)
    assert gains["next_open"][0] < 0.01 and gains["close"][0] > 0.5


def sample() -> Market:
    """The four symbols of the bundled sample with a long common history, at their unadjusted prices."""
    bars = pd.read_csv(SAMPLE, parse_dates=["date"]).rename(columns={"date": "timestamp"})
    bars = bars[bars["symbol"].isin(["AAPL", "GOOG", "IBM", "MSFT"]) & (bars["timestamp"] >= "2004-08-19")]
    bars["timestamp"] = bars["timestamp"].dt.tz_localize("UTC")
    # Rounded quotes may miss the range by a cent, which no rule here looks at.
    bars["high"] = bars[["open", "high", "low", "close"]].max(axis=1)
    bars["low"] = bars[["open", "high", "low", "close"]].min(axis=1)
    turbulence = pd.Series(
        np.random.default_rng(0).random(bars["timestamp"].nunique()), sorted(bars["timestamp"].unique())
    )
    return Market.from_tables(bars, bars[["timestamp", "symbol"]], turbulence)


class ShareBook:
    """The published rules of FinRL's stock trading environment.

    - An action in [-1, 1] per asset, times hmax, is cut to whole shares; everything trades at the day's close.
    - Sales come first. A sale is at most what is held and brings price × shares × (1 - sell cost).
    - Purchases follow, the largest order first. A purchase is at most the whole shares that the cash pays for, costs
      included, and takes price × shares × (1 + buy cost).
    - When the day's turbulence is at or above the threshold, everything held is sold and nothing is bought.
    """

    def __init__(self, cash: float, hmax: int, cost: float, n_assets: int) -> None:
        self.cash, self.hmax, self.cost = cash, hmax, cost
        self.held = [0] * n_assets

    def trade(self, action: np.ndarray, prices: np.ndarray, alarm: bool) -> None:
        orders = (action * self.hmax).astype(int)
        if alarm:
            orders = np.array([-held for held in self.held])
        for asset in np.flatnonzero(orders < 0):
            shares = min(-int(orders[asset]), self.held[asset])
            self.held[asset] -= shares
            self.cash += shares * prices[asset] * (1 - self.cost)
        # Of equal orders the later asset comes first.
        for asset in sorted(np.flatnonzero(orders > 0), key=lambda asset: (orders[asset], asset), reverse=True):
            price = prices[asset] * (1 + self.cost)
            shares = min(int(orders[asset]), int(self.cash // price))
            self.held[asset] += shares
            self.cash -= shares * price


@pytest.mark.parametrize("tilt", [0.0, 0.3])
@pytest.mark.parametrize("threshold", [None, 0.95])
def test_the_share_scheme_follows_finrl_to_the_cent(threshold: float | None, tilt: float) -> None:
    """Every symbol, every day of the sample's eight years; `tilt` keeps the account short of cash."""
    market = sample()
    config = TradingConfig(
        initial_cash=100_000.0,
        scheme="shares",
        account="portfolio",
        fill="close",
        max_order_shares=100,
        turbulence_stop=threshold,
    )
    rng = np.random.default_rng(7)
    actions = rng.uniform(-1, 1, (market.n_bars, 4)) + tilt
    actions = np.clip(actions, -1, 1).astype(np.float32)
    ledger = simulate(lambda observations, symbols, bar: actions[bar][None], market, config)
    book = ShareBook(100_000.0, 100, 0.001, 4)
    poor = 0
    turbulence: Any = market.turbulence
    for day in range(market.n_bars - 1):
        book.trade(actions[day], market.close[:, day], threshold is not None and turbulence[day] >= threshold)
        worth = book.cash + float(np.dot(book.held, market.close[:, day + 1]))
        assert abs(book.cash - ledger.cash[0, day + 1]) < 0.005
        assert abs(worth - ledger.equity[0, day + 1]) < 0.005
        assert ledger.position[:, day + 1].tolist() == book.held
        poor += book.cash < market.close[:, day].max()
    assert market.n_bars > 2_000 and poor > 100
