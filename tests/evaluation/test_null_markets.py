"""The whole decision on markets without an edge: trained agents, backtest and gate. Nothing may be promoted."""

import numpy as np
import pandas as pd
import pytest

from MLOps.agents.observations import MarketView
from MLOps.agents.training import train
from MLOps.config.agents import ObserveConfig, PPOConfig
from MLOps.config.params import load_params
from MLOps.config.splits import SplitConfig
from MLOps.config.trading import TradingConfig
from MLOps.data.splits import split
from MLOps.evaluation.backtest import backtest
from MLOps.evaluation.evidence import Evidence
from MLOps.evaluation.gate import Case, judge
from MLOps.evaluation.report import AGENT as AGENT_RETURNS
from MLOps.features.pipeline import FeaturePipeline
from MLOps.predictors.ensemble import Ensemble
from tests.evaluation.markets import garch, random_walk, shown_direction
from tests.project import ROOT

BARS = 1500
SYMBOLS = 4
FEATURES = ("return_1", "return_5", "price_to_mean_20", "rsi_14", "volatility_20", "volume_to_mean_20")
SPLITS = SplitConfig(train=0.7, validation=0.15, test=0.15, embargo_bars=5, folds=5)
AGENT = PPOConfig(
    kind="ppo",
    observe=ObserveConfig(features=FEATURES),
    environments=32,
    total_timesteps=32768,
    n_steps=128,
    batch_size=1024,
    n_epochs=5,
    learning_rate=0.001,
    gamma=0.95,
    gae_lambda=0.95,
    clip_range=0.2,
    ent_coef=0.005,
    vf_coef=0.5,
    max_grad_norm=0.5,
    net_arch=(32, 32),
    evaluate_every_steps=8192,
)
DEFAULT = load_params(ROOT / "params.yaml")
STOPS = {
    "no stops": TradingConfig(slippage_bps=2.0, allow_short=True),
    "stops": TradingConfig(slippage_bps=2.0, allow_short=True, stop_loss=0.05, take_profit=0.1),
}


def reasons_on(bars: pd.DataFrame, trading: TradingConfig, seed: int) -> list[str]:
    """Train an agent as the stages do, its forecaster an ensemble without members, and ask the gate."""
    pipeline = FeaturePipeline.fit(FEATURES, bars)
    features = pipeline.compute(bars)
    splits = split(bars["timestamp"], SPLITS)
    ensemble = Ensemble(("fall", "stationary", "rise"), (), (), None, np.full(3, 1 / 3), 0.0)
    signals = ensemble.combine(features.dropna(), {})
    view = MarketView.fit(AGENT.observe, ensemble, features, signals, splits.train.rows(features["timestamp"]))
    market = view.market(bars, features, signals, trading)
    training, validation, test = (
        market.between(span.start, span.end) for span in (splits.train, splits.validation, splits.test)
    )
    agent, _ = train(AGENT, view, training, validation, trading, seed, lambda step, metrics: None)
    result = backtest(agent.policy(), test, bars, signals, trading, DEFAULT.backtest, seed)
    evidence = Evidence.join([result.returns()], bars_per_year=252)
    trials = pd.DataFrame({"ppo": evidence.returns[AGENT_RETURNS]}, index=evidence.timestamps)
    case = Case(evidence, result.random_total_returns, trials, DEFAULT.backtest.bootstrap_samples, seed)
    return [check.reason for check in judge(case, DEFAULT.gate) if not check.passed]


@pytest.mark.parametrize("markets", [1, pytest.param(40, marks=pytest.mark.slow)])
@pytest.mark.parametrize("stops", STOPS)
def test_nothing_is_promoted_without_an_edge(stops: str, markets: int) -> None:
    promoted = []
    for seed in range(markets):
        bars = (random_walk, garch)[seed % 2](SYMBOLS, BARS, seed)
        if not reasons_on(bars, STOPS[stops], seed):
            promoted.append(seed)
    assert promoted == []


@pytest.mark.parametrize("stops", STOPS)
def test_a_large_edge_is_promoted_by_the_same_decision(stops: str) -> None:
    assert reasons_on(shown_direction(SYMBOLS, BARS, seed=0, edge=0.008), STOPS[stops], seed=0) == []
