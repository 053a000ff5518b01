"""Baselines follow rules of their own and know what they hold; draws with random timing match what they stand for."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from MLOps.config.backtest import BacktestConfig
from MLOps.config.trading import TradingConfig
from MLOps.evaluation import baselines
from MLOps.evaluation.backtest import backtest
from MLOps.evaluation.baselines import buy_and_hold, flat, random_timing
from MLOps.evaluation.performance import Portfolio, performance
from MLOps.evaluation.report import SAME_RETURN
from MLOps.predictors.ensemble import ENSEMBLE
from MLOps.trading import Market, observation_columns, simulate
from MLOps.trading.simulation import Policy
from tests.evaluation.price_markets import market_of, random_walk

CONFIG = BacktestConfig(
    random_draws=39,
    moving_average_fast_bars=5,
    moving_average_slow_bars=20,
    bootstrap_samples=200,
    block_bars=10,
    confidence=0.95,
)
WEIGHTS = TradingConfig(scheme="weights")
STOPS = [TradingConfig(scheme="weights", stop_loss=stop, take_profit=profit)
         for stop, profit in product((None, 0.02, 0.05, 0.1), (None, 0.03, 0.1))]  # fmt: skip


def always_buy(observations: np.ndarray, symbols: np.ndarray, bar: int) -> np.ndarray:
    return np.ones(len(symbols))


def tables(market: Market) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The market's closes as bars, and signals that always say rise."""
    clock = pd.DatetimeIndex(market.timestamps).tz_localize("UTC")
    keys = pd.MultiIndex.from_product([market.symbols, clock], names=["symbol", "timestamp"]).to_frame(index=False)
    bars = keys.assign(close=market.close.ravel()).dropna()
    signals = keys.assign(predictor=ENSEMBLE, p_fall=0.2, p_stationary=0.2, p_rise=0.6)
    return bars, signals


@pytest.mark.parametrize("trading", STOPS)
def test_no_baseline_follows_the_agents_stops(trading: TradingConfig) -> None:
    market = market_of(random_walk(0, symbols=3, bars=300, volatility=0.03))
    with_stops = backtest(flat(market, WEIGHTS), market, *tables(market), trading, CONFIG, seed=0)
    without = backtest(flat(market, WEIGHTS), market, *tables(market), WEIGHTS, CONFIG, seed=0)
    for name, ledger in without.ledgers.items():
        np.testing.assert_array_equal(with_stops.ledgers[name].equity, ledger.equity)
    assert not np.nansum(np.abs(with_stops.ledgers["buy_and_hold"].exit_shares))
    assert ("buy_and_hold_with_stops" in with_stops.ledgers) == (trading != WEIGHTS)


@pytest.mark.parametrize("trading", STOPS)
@pytest.mark.parametrize("seed", range(3))
def test_buying_at_every_bar_never_beats_buy_and_hold_by_its_stops(trading: TradingConfig, seed: int) -> None:
    """Whatever the stops make of it, it is a long position: its excess over the same under the same stops is 0."""
    market = market_of(random_walk(seed, symbols=2, bars=400, drift=0.0005, volatility=0.02))
    result = backtest(always_buy, market, *tables(market), trading, CONFIG, seed=0)
    assert min(excess.lower for name, excess in result.excess.items() if name.startswith("buy_and_hold")) <= 0


def test_buy_and_hold_buys_once_and_goes_on_where_its_order_was_cut() -> None:
    market = market_of(random_walk(1, symbols=2, bars=100))
    orders = simulate(buy_and_hold(market, WEIGHTS), market, WEIGHTS).order_shares
    assert ((orders != 0).sum(axis=1) == 1).all()
    # Lots leave a rest, which is no reason to try again; a purchase of which little was filled is.
    position = observation_columns(market, WEIGHTS)["position"]
    policy = buy_and_hold(market, WEIGHTS)
    seen = np.zeros((1, 5), np.float32)
    answers = []
    for held in (0.0, 0.3, 0.6, 0.97, 0.9, 0.2, 0.0):
        seen[0, position] = held
        answers.append(float(policy(seen, np.array([0]), 0)[0]))
    np.testing.assert_array_equal(answers, [1, 1, 1, np.nan, np.nan, np.nan, 1])


def test_a_symbol_that_the_tables_lack_is_never_traded() -> None:
    """One listed too late has closes too few for the means, and no signal."""
    closes = random_walk(2, symbols=2, bars=200)
    market = market_of(closes)
    bars, signals = tables(market)
    own = WEIGHTS
    short_of = bars[bars["symbol"] == "S00"], signals[signals["symbol"] == "S00"]
    for policy in (
        baselines.moving_average_cross(short_of[0], market, own, CONFIG),
        baselines.predictor_sign(short_of[1], market, own),
    ):
        ledger = simulate(policy, market, own)
        assert (ledger.position[0] != 0).any()
        assert not (ledger.position[1] != 0).any()


def lazy(seed: int, bars: int) -> Policy:
    """Buys once, at a random bar, and holds."""
    at = np.random.default_rng(seed).integers(bars - 5)
    return lambda observations, symbols, bar: np.full(len(symbols), 1.0 if bar == at else np.nan)


def trader(seed: int, _bars: int) -> Policy:
    """Changes its mind at one bar in ten."""
    generator = np.random.default_rng(seed)

    def policy(observations: np.ndarray, symbols: np.ndarray, bar: int) -> np.ndarray:
        drawn = generator.choice([1.0, 0.0, 0.5, 0.75], len(symbols))
        return np.where(generator.random(len(symbols)) < 0.1, drawn, np.nan)

    return policy


def passes(policy: Policy, market: Market, trading: TradingConfig, seed: int, quantile: float = 0.95) -> bool:
    """Whether the policy does better than its own trades at random times, as the gate asks."""
    ledger = simulate(policy, market, trading)
    draws = [Portfolio.of(draw).total_return for draw in random_timing(ledger, market, trading, 39, seed)]
    return bool(Portfolio.of(ledger).total_return > np.quantile(draws, quantile) + SAME_RETURN)


def test_random_timing_has_the_turnover_and_the_exposure_of_what_it_stands_for() -> None:
    trading = TradingConfig(scheme="weights", allow_short=True)
    market = market_of(random_walk(4, symbols=3, bars=400))
    ledger = simulate(trader(5, 400), market, trading)
    own = performance(ledger, 252)
    draws = [performance(draw, 252) for draw in random_timing(ledger, market, trading, 50, seed=0)]
    for name, tolerance in (("turnover", 0.15), ("exposure", 0.1)):
        values = np.array([draw[name] for draw in draws])
        np.testing.assert_allclose(values, own[name], rtol=tolerance)
    assert len({draw["total_return"] for draw in draws}) > 40


@pytest.mark.parametrize("markets", [40, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["flat", "lazy", "hold", "trader"])
def test_a_policy_without_knowledge_beats_random_timing_at_no_more_than_the_nominal_rate(
    kind: str, markets: int
) -> None:
    bars, trading = 120, WEIGHTS
    passed = 0
    for seed in range(markets):
        market = market_of(random_walk(seed, symbols=2, bars=bars, drift=0.0004))
        policy = {
            "flat": flat(market, trading),
            "lazy": lazy(seed, bars),
            "hold": buy_and_hold(market, trading),
            "trader": trader(seed, bars),
        }[kind]
        passed += passes(policy, market, trading, seed)
    if kind in ("flat", "hold"):
        assert passed == 0, "what never changes has no timing"
    # Binomial, nominal 5 %: three standard deviations above.
    assert passed <= 0.05 * markets + 3 * np.sqrt(0.05 * 0.95 * markets)


def test_timing_that_knows_the_future_beats_random_timing() -> None:
    closes = random_walk(6, symbols=1, bars=200)
    market, trading = market_of(closes), WEIGHTS
    rises = np.append(closes[0, 1:] > closes[0, :-1], False)

    def seer(observations: np.ndarray, symbols: np.ndarray, bar: int) -> np.ndarray:
        return np.full(len(symbols), 1.0 if rises[bar] else 0.0)

    assert passes(seer, market, trading, seed=0)
