"""The contract that every algorithm keeps: what decides is what was learnt, and a seed is the whole of chance."""

from dataclasses import fields, replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import pytest
import torch

from MLOps.agents.algorithms import ALGORITHMS
from MLOps.agents.contract import Algorithm
from MLOps.agents.policy import Agent
from MLOps.agents.training import mean_reward, train
from MLOps.artifacts import content_hash
from MLOps.config.agents import OWN, ActionNoise, LinearSchedule
from MLOps.errors import UserError
from MLOps.trading import distinct_actions, observation_columns
from MLOps.trading.vector import TradingVecEnv
from tests.agents.trainings import CASES, CONFIGS, RULES, VIEW, market, suited


def trained(kind: str, rules: str, seed: int, folder: Path) -> tuple[Agent, list[Any], str]:
    """The agent, what its training told, and the hash of what is kept of it."""
    told: list[Any] = []
    trading = RULES[rules]

    def tell(step: int, metrics: Any) -> None:
        told.append((step, dict(metrics)))

    agent, reward = train(CONFIGS[kind], VIEW, market(), market(9), trading, seed, tell)
    assert reward == mean_reward(agent, market(9), trading)
    agent.save(folder)
    return agent, told, content_hash(folder)


def observations(rules: str, rows: int = 500) -> np.ndarray:
    width = len(observation_columns(market(), RULES[rules]))
    return np.random.default_rng(5).normal(0, 4, (rows, width)).astype(np.float32)


def test_every_algorithm_is_tested() -> None:
    assert set(CONFIGS) == set(ALGORITHMS)


@pytest.mark.parametrize(("kind", "rules"), CASES)
def test_the_agent_decides_as_the_learner_does(kind: str, rules: str) -> None:
    algorithm: Algorithm = resolve_name(ALGORITHMS[kind])
    trading = RULES[rules]
    learner: Any = algorithm.learner(CONFIGS[kind], TradingVecEnv(market(), trading, 4, seed=3), 3)
    untrained = algorithm.policy_network(learner)
    learner.learn(512)
    network, rows = algorithm.policy_network(learner), observations(rules)
    agent = Agent(CONFIGS[kind], trading, VIEW, (), network)
    told = {"action_masks": distinct_actions(rows, trading)} if kind == "maskable_ppo" else {}
    states = np.zeros((len(rows), network.state_width), np.float32)
    actions, states = agent.decide(rows, states)
    expected, memory = learner.predict(rows, deterministic=True, **told)
    for _ in range(2 if kind == "recurrent_ppo" else 0):
        actions, states = agent.decide(rows, states)
        expected, memory = learner.predict(rows, memory, np.zeros(len(rows), bool), deterministic=True)
    if trading.scheme == "targets":
        expected = np.array(trading.targets, np.float32)[expected]
    assert len(np.unique(actions)) > 1, "the rows tell actions apart"
    if trading.scheme in ("targets", "discrete"):
        # Two scores may be equal but for rounding.
        assert (actions == expected).mean() > 0.995
    else:
        np.testing.assert_allclose(actions, expected.reshape(actions.shape), atol=1e-4)
    # A copy: what is learnt afterwards changes no network that was taken before.
    assert not np.array_equal(untrained.parameters, network.parameters)
    kept = network.parameters.copy()
    learner.learn(512)
    np.testing.assert_array_equal(network.parameters, kept)


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_a_seed_gives_the_same_bytes_and_another_seed_others(kind: str, tmp_path: Path) -> None:
    rules = suited(kind)
    _, told, content = trained(kind, rules, 7, tmp_path / "one")
    torch.manual_seed(99)
    np.random.seed(99)
    _, told_again, again = trained(kind, rules, 7, tmp_path / "two")
    assert (again, told_again) == (content, told)
    _, told_otherwise, other = trained(kind, rules, 8, tmp_path / "three")
    assert other != content and told_otherwise != told


# A value of each parameter that differs from the one in CONFIGS.
CHANGED: dict[str, Any] = {
    "gamma": 0.5,
    "learning_rate": LinearSchedule(start=0.003, end=0.0),
    "n_steps": 16,
    "batch_size": 16,
    "n_epochs": 3,
    "clip_range": 0.02,
    "clip_range_vf": 0.01,
    "target_kl": 1e-5,
    "gae_lambda": 0.5,
    "ent_coef": 0.2,
    "vf_coef": 0.1,
    "max_grad_norm": 0.01,
    "net_arch": (8,),
    "activation_fn": "elu",
    "log_std_init": -1.0,
    "lstm_hidden_size": 4,
    "rms_prop_eps": 0.1,
    "cg_max_steps": 2,
    "cg_damping": 1.0,
    "line_search_shrinking_factor": 0.3,
    "line_search_max_iter": 1,
    "n_critic_updates": 2,
    "sub_sampling_factor": 2,
    "buffer_size": 100,
    "learning_starts": 128,
    "train_freq": 2,
    "gradient_steps": 4,
    "tau": 0.5,
    "target_update_interval": 64,
    "exploration_fraction": 0.2,
    "exploration_initial_eps": 0.5,
    "exploration_final_eps": 0.5,
    "n_quantiles": 7,
    "action_noise": ActionNoise(sigma=0.5),
    "n_critics": 3,
    "policy_delay": 4,
    "target_policy_noise": 0.9,
    "target_noise_clip": 0.1,
    "target_entropy": -0.2,
    "top_quantiles_to_drop_per_net": 1,
    "batch_norm_momentum": 0.5,
    "renorm_warmup_steps": 100_000,
    "n_atoms": 11,
    "v_max": 3.0,
    "sigma0": 0.1,
    "prioritized_replay_alpha": 0.9,
    "prioritized_replay_beta0": 0.9,
}
# Of a search along a line whose first step is taken.
WITHOUT_EFFECT = ("line_search_shrinking_factor", "line_search_max_iter")
# A training for each of their many parameters takes minutes together.
COSTLY = ("recurrent_ppo", "sac", "tqc", "crossq", "rainbow")


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow) if kind in COSTLY else kind for kind in ALGORITHMS]
)
def test_every_parameter_reaches_the_learner(kind: str) -> None:
    """Each parameter, changed by itself, changes what is learnt in a few updates."""
    algorithm: Algorithm = resolve_name(ALGORITHMS[kind])

    def learnt(**changes: Any) -> np.ndarray:
        config = replace(CONFIGS[kind], **changes)
        # Only actions that are numbers have a spread.
        trading = RULES["weights" if (kind, "weights") in CASES else suited(kind)]
        learner: Any = algorithm.learner(config, TradingVecEnv(market(), trading, 4, seed=3), 3)
        learner.learn(512)
        parameters: np.ndarray = algorithm.policy_network(learner).parameters
        return parameters

    plain = learnt()
    np.testing.assert_array_equal(learnt(), plain)
    for field in fields(CONFIGS[kind]):
        name, present = field.name, getattr(CONFIGS[kind], field.name)
        # Without epsilon, which Rainbow has not by default, there is nothing to schedule.
        unused = (*OWN, *WITHOUT_EFFECT, "device", *(["exploration_fraction"] if kind == "rainbow" else []))
        if name in unused:
            continue
        value = not present if isinstance(present, bool) else CHANGED[name]
        assert present != value, name
        assert not np.array_equal(learnt(**{name: value}), plain), name


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_a_saved_agent_decides_alike(kind: str, tmp_path: Path) -> None:
    rules = suited(kind)
    agent, _, content = trained(kind, rules, 7, tmp_path / "agent")
    assert {path.suffix for path in (tmp_path / "agent").iterdir()} == {".json", ".safetensors"}
    loaded = Agent.load(tmp_path / "agent")
    assert (loaded.config, loaded.trading, loaded.columns) == (agent.config, agent.trading, agent.columns)
    rows = observations(rules)
    states = np.zeros((len(rows), agent.network.state_width), np.float32)
    for own, other in zip(loaded.decide(rows, states), agent.decide(rows, states), strict=True):
        np.testing.assert_array_equal(own, other)
    assert mean_reward(loaded, market(9), RULES[rules]) == mean_reward(agent, market(9), RULES[rules])
    loaded.save(tmp_path / "again")
    assert content_hash(tmp_path / "again") == content


def test_each_environment_explores_by_a_draw_of_its_own() -> None:
    environments = TradingVecEnv(market(), RULES["targets"], 400, seed=3)
    learner: Any = resolve_name(ALGORITHMS["dqn"]).learner(CONFIGS["dqn"], environments, 3)
    rows = environments.reset()
    greedy, _ = learner.predict(rows, deterministic=True)
    learner.exploration_rate = 0.5
    shares = [(learner.predict(rows)[0] != greedy).mean() for _ in range(20)]
    # Four of five random targets are not the greedy one.
    assert np.allclose(shares, 0.4, atol=0.1) and np.std(shares) > 0


@pytest.mark.parametrize("kind", ["ppo", "dqn", "sac"])
def test_a_training_that_diverges_says_so(kind: str) -> None:
    config = replace(CONFIGS[kind], learning_rate=1e30)
    with pytest.raises(UserError, match=r"the training diverged.*lower learning_rate"):
        train(config, VIEW, market(), market(9), RULES[suited(kind)], 7, lambda *_: None)
