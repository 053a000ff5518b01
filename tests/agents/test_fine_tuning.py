"""A network trained within the policy: it learns, what decides is what was learnt, and nothing of it is lost."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from stable_baselines3.common.policies import ActorCriticPolicy

from MLOps.agents import fine_tuning, training
from MLOps.agents.algorithms import ALGORITHMS
from MLOps.agents.algorithms.window_extractor import WindowExtractor, extractor_arguments
from MLOps.agents.contract import Algorithm
from MLOps.agents.fine_tuning import Pretrained, fine_tuned, is_window, windows_of, with_embedding_names
from MLOps.agents.policy import Agent
from MLOps.agents.training import mean_reward, train
from MLOps.artifacts import content_hash
from MLOps.config.agents import AgentConfig, ObserveConfig
from MLOps.config.trading import TradingConfig
from MLOps.errors import UserError
from MLOps.features.causality import draw_cutoffs, find_leaks
from MLOps.predictors.contract import forecast
from MLOps.trading import Market, distinct_actions, observation_columns
from MLOps.trading.vector import TradingVecEnv
from MLOps.training.checkpoints import Checkpoints
from tests.agents.trainings import RULES, suited
from tests.agents.windowed import LOOKBACK_BARS, OBSERVE, PRIOR, Windowed, config_of, windowed
from tests.predictors.markets import NETWORKS

CASES = [(kind, suited(kind), "gru") for kind in ALGORITHMS]
# TRPO differentiates twice.
CASES += [(kind, "targets", name) for name in NETWORKS for kind in ("ppo", "trpo") if name != "gru"]
CASES += [("ppo", "portfolio", "gru"), ("sac", "portfolio", "gru"), ("recurrent_ppo", "shares", "gru")]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """As quick for small networks, and it never waits."""
    torch.set_num_threads(1)


def rows_of(environments: TradingVecEnv, steps: int) -> np.ndarray:
    """Observations of random actions, (steps * environments, columns)."""
    found = [np.array(environments.reset())]
    for _ in range(steps - 1):
        actions = np.array([environments.action_space.sample() for _ in range(environments.num_envs)])
        found.append(np.array(environments.step(actions)[0]))
    return np.concatenate(found)


def embedded(rows: np.ndarray, columns: tuple[str, ...], tuned: Any, pretrained: Pretrained) -> np.ndarray:
    """The observations with the network's embedding in place of window numbers, column by column."""
    parts = []
    for name, column in zip(columns, rows.T, strict=True):
        if not is_window(name):
            parts.append(column[:, None])
            continue
        own = np.zeros((len(rows), 3), np.float32)
        there = column > 0
        own[there] = forecast(tuned, pretrained.windows, column[there].astype(int) - 1).embedding
        parts.append(own)
    return np.concatenate(parts, axis=1)


QUICK = [
    ("ppo", "targets", "gru"),
    ("dqn", "targets", "gru"),
    ("sac", "portfolio", "gru"),
    ("trpo", "targets", "hybrid"),
]


@pytest.mark.parametrize(
    ("kind", "rules", "network"), [pytest.param(*c, marks=[] if c in QUICK else pytest.mark.slow) for c in CASES]
)
def test_the_gradient_reaches_the_network_and_the_agent_decides_as_the_learner(
    kind: str, rules: str, network: str
) -> None:
    algorithm: Algorithm = resolve_name(ALGORITHMS[kind])
    task, trading, config = windowed(), RULES[rules], config_of(kind)
    pretrained = task.pretrained(network)
    environments = TradingVecEnv(task.market(trading, pretrained), trading, 4, seed=3)
    environments.action_space.seed(1)
    rows, columns = rows_of(environments, 60), environments.columns
    assert any(map(is_window, columns))
    learner: Any = algorithm.learner(config, environments, 3, pretrained)
    before = algorithm.tuned_weights(learner)
    first = fine_tuned(pretrained.predictor, before)
    # The training begins with the weights of the predictor, to the precision of its training.
    own = embedded(rows, columns, pretrained.predictor, pretrained)
    np.testing.assert_allclose(embedded(rows, columns, first, pretrained), own, atol=1e-5)
    learner.learn(256)
    after = algorithm.tuned_weights(learner)
    unchanged = {name for name in after if np.array_equal(before[name], after[name])}
    # Statistics of batch normalisation stay as they were.
    assert {name.rpartition(".")[2] for name in unchanged} <= {"running_mean", "running_var", "num_batches_tracked"}
    tuned = fine_tuned(pretrained.predictor, after)
    seen = embedded(rows, columns, tuned, pretrained)
    agent = Agent(
        config, trading, task.view(), with_embedding_names(columns, 3), algorithm.policy_network(learner), tuned
    )
    assert seen.shape[1] == len(agent.columns) == agent.network.n_inputs
    told = {"action_masks": distinct_actions(rows, trading)} if kind == "maskable_ppo" else {}
    actions, _ = agent.decide(seen, np.zeros((len(seen), agent.state_width), np.float32))
    expected, _ = learner.predict(rows, deterministic=True, **told)
    if trading.scheme == "targets":
        expected = np.array(trading.targets, np.float32)[expected]
    if trading.scheme in ("targets", "discrete"):
        # Two scores may be equal but for rounding.
        assert (actions == expected).mean() > 0.99
    else:
        np.testing.assert_allclose(actions, expected.reshape(actions.shape), atol=1e-3)


@pytest.mark.parametrize("network", NETWORKS)
def test_an_extractor_is_the_predictors_embedding_in_training_too(network: str) -> None:
    """Neither dropout, nor statistics of a batch, nor stable-baselines3's initial weights."""
    task, trading = windowed(), RULES["portfolio"]
    pretrained = task.pretrained(network)
    environments = TradingVecEnv(task.market(trading, pretrained), trading, 4, seed=3)
    environments.action_space.seed(1)
    rows, columns = rows_of(environments, 20), environments.columns
    arguments = extractor_arguments(pretrained, environments, "cpu")["features_extractor_kwargs"]
    extractor = WindowExtractor(environments.observation_space, **arguments)
    expected = embedded(rows, columns, pretrained.predictor, pretrained)
    assert (rows[:, [is_window(name) for name in columns]] == 0).any(), "symbols that are not observable"
    assert extractor.features_dim == expected.shape[1]
    for training_mode in (True, False):
        extractor.train(training_mode).apply(partial(ActorCriticPolicy.init_weights, gain=1.0))
        for _ in range(2):
            np.testing.assert_allclose(extractor(torch.from_numpy(rows)).detach(), expected, atol=1e-5)


FREE = TradingConfig(targets=(-1.0, 0.0, 1.0), allow_short=True, fee_bps=0.0, slippage_bps=0.0, episode_bars=50)
SHARES = (0.7, 0.85)


def spans(task: Windowed, market: Market) -> tuple[Market, Market, Market]:
    """Training, validation and test."""
    stamps = np.unique(task.bars["timestamp"].dt.tz_localize(None))
    first, second = (stamps[int(share * len(stamps))] for share in SHARES)
    return market.between(None, first), market.between(first, second), market.between(second, None)


def trained(
    task: Windowed,
    config: AgentConfig,
    trading: TradingConfig,
    pretrained: Pretrained | None,
    on_step: Callable[..., None] = lambda *_: None,
    checkpoints: Path | None = None,
) -> tuple[Agent, float]:
    view = task.view(config.observe)
    training, validation, _ = spans(task, task.market(trading, pretrained, view))
    return train(config, view, training, validation, trading, 7, on_step, checkpoints, pretrained)


def test_only_the_fine_tuned_agent_learns_what_windows_tell() -> None:
    task = windowed(1, 1500)
    learning: dict[str, Any] = {"environments": 16, "n_steps": 64, "batch_size": 256, "n_epochs": 4, "gamma": 0.5}
    learning |= {"learning_rate": 0.01, "total_timesteps": 12_000, "evaluate_every_steps": 4_000}

    def earned(observe: ObserveConfig, pretrained: Pretrained | None) -> float:
        config = replace(config_of("ppo", **learning), observe=observe)
        agent, reward = trained(task, config, FREE, pretrained)
        market = agent.market(task.bars, task.features, task.signals(), FREE)
        _, validation, test = spans(task, market)
        assert mean_reward(agent, validation, FREE) == reward, "the market of a backtest is the market of the training"
        return mean_reward(agent, test, FREE)

    # Whoever knows the sign earns 1 % a bar.
    best = FREE.reward.scale * 0.01
    assert earned(OBSERVE, task.pretrained()) > 0.6 * best
    assert abs(earned(replace(OBSERVE, fine_tuned=None), None)) < 0.2 * best


class KilledError(Exception):
    """Stands for a kill within this process."""


def written(kind: str, folder: Path) -> str:
    """What a stage writes of a training whose progress is saved in `folder`."""
    told: list[Any] = []
    config = config_of(kind, checkpoint_every_steps=128)
    agent, reward = trained(
        windowed(),
        config,
        RULES[suited(kind)],
        windowed().pretrained(),
        lambda *row: told.append(row),
        folder / "saved",
    )
    agent.save(folder / "result")
    (folder / "result" / "told.json").write_text(json.dumps([reward, told]))
    return content_hash(folder / "result")


@pytest.mark.parametrize("kind", ["ppo", "dqn", pytest.param("sac", marks=pytest.mark.slow)])
def test_a_killed_training_ends_as_an_undisturbed_one_and_needs_the_networks_weights(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: dict[bytes, float] = {}

    def first_is_best(agent: Agent, *_: Any) -> float:
        # So that the best weights come from the checkpoint alone.
        return order.setdefault(agent.network.parameters.tobytes(), -float(len(order)))

    monkeypatch.setattr(training, "mean_reward", first_is_best)
    undisturbed = written(kind, tmp_path / "undisturbed")
    names = {path.name for path in (tmp_path / "undisturbed" / "result" / "fine_tuned").iterdir()}
    assert names == {"predictor.json", "weights.safetensors"}
    save = Checkpoints.save

    def save_and_stop(self: Checkpoints, step: int, *state: Any) -> None:
        save(self, step, *state)
        if step >= 600:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", save_and_stop)
        with pytest.raises(KilledError):
            written(kind, tmp_path / "killed")
    assert any(name.startswith("others.tuned.") for name in state_of(tmp_path / "killed")[0])
    for forgotten in ("nothing", "others.tuned.network", "learner.policy"):
        shutil.copytree(tmp_path / "killed", tmp_path / forgotten)
        arrays, metadata = state_of(tmp_path / forgotten)
        for name, array in arrays.items():
            if name.startswith(forgotten) and ".network." in name and array.dtype.kind == "f":
                arrays[name] = np.zeros_like(array)
        checkpoints_of(tmp_path / forgotten).save(10**9, arrays, metadata)
        assert (written(kind, tmp_path / forgotten) == undisturbed) == (forgotten == "nothing"), forgotten


def checkpoints_of(folder: Path) -> Checkpoints:
    return Checkpoints(next((folder / "saved").iterdir()))


def state_of(folder: Path) -> tuple[dict[str, np.ndarray], Any]:
    state = checkpoints_of(folder).newest()
    assert state is not None
    return state


def test_a_checkpoint_belongs_to_one_network_and_its_windows(tmp_path: Path) -> None:
    config, task = config_of("ppo", total_timesteps=128), windowed()
    changed = task.pretrained()
    changed.windows.values[-1] += 1
    for number, (name, pretrained) in enumerate([("gru", None), ("lstm", None), ("gru", changed)], 1):
        for _ in range(2):
            trained(task, config, RULES["targets"], pretrained or task.pretrained(name), checkpoints=tmp_path)
            assert len(list(tmp_path.iterdir())) == number


@cache
def small_agent(rules: str) -> Agent:
    return trained(windowed(), config_of("ppo"), RULES[rules], windowed().pretrained())[0]


@pytest.mark.parametrize("rules", ["targets", "portfolio"])
def test_a_saved_agent_observes_and_decides_alike(rules: str, tmp_path: Path) -> None:
    agent, task = small_agent(rules), windowed()
    agent.save(tmp_path / "one")
    loaded = Agent.load(tmp_path / "one")
    loaded.save(tmp_path / "two")
    assert content_hash(tmp_path / "one") == content_hash(tmp_path / "two")
    own, other = (each.market(task.bars, task.features, task.signals(), RULES[rules]) for each in (agent, loaded))
    np.testing.assert_array_equal(own.observations, other.observations)
    assert tuple(observation_columns(own, RULES[rules])) == agent.columns == loaded.columns
    assert mean_reward(agent, own, RULES[rules]) == mean_reward(loaded, other, RULES[rules])
    # Observed where a whole window ends, and nowhere else.
    windows = windows_of(task.features, LOOKBACK_BARS)
    keys = task.features[windows.whole]
    observable = {(own.symbols[s], own.timestamps[b]) for s, b in zip(*np.nonzero(own.observable), strict=True)}
    assert observable == set(
        zip(keys["symbol"], keys["timestamp"].dt.tz_localize(None).to_numpy("M8[ns]"), strict=True)
    )


def test_a_row_is_embedded_alike_by_itself_and_in_a_batch() -> None:
    agent, task = small_agent("targets"), windowed()
    forecasts = {"ensemble": PRIOR.forecast([], 40)}
    rows = np.flatnonzero(windows_of(task.features, LOOKBACK_BARS).whole)[::9][:40]
    together = agent.observations(task.features, rows, forecasts)
    for place in range(0, 40, 3):
        one = {"ensemble": PRIOR.forecast([], 1)}
        alone = agent.observations(task.features, rows[place : place + 1], one)
        np.testing.assert_array_equal(alone[0], together[place])


def test_no_observation_knows_a_later_bar() -> None:
    agent, task = small_agent("targets"), windowed()

    def observed(features: pd.DataFrame) -> pd.DataFrame:
        market = agent.market(task.bars, features, PRIOR.combine(features.dropna(), {}), FREE)
        symbol, bar = np.nonzero(market.observable)
        stamps = pd.DatetimeIndex(market.timestamps[bar]).tz_localize("UTC")
        keys = pd.DataFrame({"timestamp": stamps, "symbol": np.array(market.symbols)[symbol]})
        seen = pd.DataFrame(market.observations[symbol, bar], columns=list(market.observation_names))
        return pd.concat([keys, seen], axis=1)

    assert "window_embedding_2" in observed(task.features).columns
    late = task.features[task.features["timestamp"] > task.features["timestamp"].min() + pd.Timedelta(hours=20)]
    assert find_leaks(observed, task.features, draw_cutoffs(late, 6)) == []


def test_more_windows_than_can_be_numbered_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fine_tuning, "MOST_ROWS", 100)
    with pytest.raises(UserError, match=r"observe.fine_tuned: expected at most 100 bars .*, found \d{3}; observe the"):
        windowed().market(FREE, windowed().pretrained())


def test_a_market_keeps_everything_but_what_is_observed() -> None:
    task = windowed()
    market = task.market(FREE, None).between(None, task.bars["timestamp"].iloc[150])
    seen = market.observations.copy()
    seen[0, 20] = np.nan
    other = market.observing(seen[..., :1], ["newest"])
    assert other.observation_names == ("newest",) and market.observation_names != ("newest",)
    np.testing.assert_array_equal(other.observations, seen[..., :1])
    assert other.observable[0].sum() == market.observable[0].sum() - 1
    for name in ("close", "alive", "delisted", "has_later_bar"):
        np.testing.assert_array_equal(getattr(other, name), getattr(market, name))
    with pytest.raises(UserError, match="expected observations of shape"):
        market.observing(seen[..., :1], ["newest", "noise"])
