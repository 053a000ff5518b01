"""The contract that every algorithm keeps: what decides is what was learnt, and a seed is the whole of chance."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import pytest
import torch

from MLOps.agents.algorithms import ALGORITHMS
from MLOps.agents.contract import Algorithm
from MLOps.agents.observations import MarketView
from MLOps.agents.policy import Agent
from MLOps.agents.training import mean_reward, train
from MLOps.artifacts import content_hash
from MLOps.config.agents import A2CConfig, AgentConfig, PPOConfig
from MLOps.config.trading import TradingConfig
from MLOps.features.scaler import Scaler
from MLOps.trading import Market, observation_columns
from MLOps.trading.vector import TradingVecEnv
from tests.evaluation.price_markets import market_of, random_walk

SHARED: dict[str, Any] = {
    "observe": ("column_0", "column_1"),
    "environments": 4,
    "total_timesteps": 1024,
    "n_steps": 32,
    "learning_rate": 0.003,
    "gamma": 0.95,
    "gae_lambda": 0.95,
    "ent_coef": 0.01,
    "vf_coef": 0.5,
    "max_grad_norm": 0.5,
    "net_arch": (16, 8),
    "evaluate_every_steps": 256,
}
CONFIGS: dict[str, AgentConfig] = {
    "ppo": PPOConfig(kind="ppo", batch_size=64, n_epochs=2, clip_range=0.2, **SHARED),
    "a2c": A2CConfig(kind="a2c", **SHARED),
}
TRADING = TradingConfig(allow_short=True, episode_bars=50)
VIEW = MarketView(
    SHARED["observe"], (), Scaler(np.zeros(2, np.float32), np.zeros(2, np.float32), np.ones(2, np.float32))
)


@cache
def market(seed: int = 0) -> Market:
    """Random walks beside the next return, blurred, and noise."""
    closes = random_walk(seed, symbols=2, bars=300)
    ahead = np.diff(np.log(closes), axis=1, append=np.nan) / 0.01
    noise = np.random.default_rng([seed, 1]).standard_normal((2, *closes.shape))
    return market_of(closes, observed=np.stack([np.nan_to_num(ahead) + noise[0], noise[1]], axis=2))


def trained(kind: str, seed: int, folder: Path, **changes: Any) -> tuple[Agent, list[Any], str]:
    """The agent, what its training told, and the hash of what is kept of it."""
    told: list[Any] = []
    config = replace(CONFIGS[kind], **changes)
    agent, reward = train(
        config, VIEW, market(), market(9), TRADING, seed, lambda step, metrics: told.append((step, dict(metrics)))
    )
    assert reward == mean_reward(agent, market(9), TRADING)
    agent.save(folder)
    return agent, told, content_hash(folder)


def observations(rows: int = 500) -> np.ndarray:
    width = len(observation_columns(market(), TRADING))
    return np.random.default_rng(5).standard_normal((rows, width)).astype(np.float32)


def test_every_algorithm_is_tested() -> None:
    assert set(CONFIGS) == set(ALGORITHMS)


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_the_policy_network_decides_as_the_learner_does(kind: str) -> None:
    algorithm: Algorithm = resolve_name(ALGORITHMS[kind])
    learner = algorithm.learner(CONFIGS[kind], TradingVecEnv(market(), TRADING, 4, seed=3), 3)
    untrained = algorithm.policy_network(learner)
    learner.learn(1024)
    network, rows = algorithm.policy_network(learner), observations()
    expected, _ = learner.predict(rows, deterministic=True)
    actions = network.outputs(rows).argmax(axis=1)
    assert len(set(actions)) > 2, "the rows tell actions apart"
    np.testing.assert_array_equal(actions, expected)
    # A copy: what is learnt afterwards changes no network that was taken before.
    assert not np.array_equal(untrained.parameters, network.parameters)
    kept = network.parameters.copy()
    learner.learn(1024)
    np.testing.assert_array_equal(network.parameters, kept)


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_a_seed_gives_the_same_bytes_and_another_seed_others(kind: str, tmp_path: Path) -> None:
    _, told, content = trained(kind, 7, tmp_path / "one")
    torch.manual_seed(99)
    np.random.seed(99)
    _, told_again, again = trained(kind, 7, tmp_path / "two")
    assert (again, told_again) == (content, told)
    _, told_otherwise, other = trained(kind, 8, tmp_path / "three")
    assert other != content and told_otherwise != told


OWN: dict[str, dict[str, Any]] = {
    "ppo": {"batch_size": 32, "n_epochs": 3, "clip_range": 0.02},
    "a2c": {"rms_prop_eps": 0.1, "use_rms_prop": False, "normalize_advantage": True},
}


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_every_setting_reaches_the_learner(kind: str) -> None:
    """Each parameter, changed by itself, changes what is learnt in a few rollouts."""
    algorithm: Algorithm = resolve_name(ALGORITHMS[kind])

    def learnt(**changes: Any) -> np.ndarray:
        config = replace(CONFIGS[kind], **changes)
        learner = algorithm.learner(config, TradingVecEnv(market(), TRADING, 4, seed=3), 3)
        learner.learn(256)
        return algorithm.policy_network(learner).parameters

    plain = learnt()
    np.testing.assert_array_equal(learnt(), plain)
    shared: dict[str, Any] = {"n_steps": 16, "learning_rate": 0.001, "gamma": 0.5, "gae_lambda": 0.5, "ent_coef": 0.2}
    shared |= {"vf_coef": 0.1, "max_grad_norm": 0.01, "net_arch": (8,)}
    for name, value in {**shared, **OWN[kind]}.items():
        assert getattr(CONFIGS[kind], name) != value
        assert not np.array_equal(learnt(**{name: value}), plain), name


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_a_saved_agent_decides_alike(kind: str, tmp_path: Path) -> None:
    agent, _, content = trained(kind, 7, tmp_path / "agent")
    assert {path.suffix for path in (tmp_path / "agent").iterdir()} == {".json", ".safetensors"}
    loaded = Agent.load(tmp_path / "agent")
    assert (loaded.config, loaded.columns) == (agent.config, agent.columns)
    rows = observations()
    np.testing.assert_array_equal(loaded.network.outputs(rows), agent.network.outputs(rows))
    np.testing.assert_array_equal(loaded.decide(rows), agent.decide(rows))
    assert mean_reward(loaded, market(9), TRADING) == mean_reward(agent, market(9), TRADING)
    loaded.save(tmp_path / "again")
    assert content_hash(tmp_path / "again") == content
