"""Trainings of agents killed at random times and started again: the same bytes as undisturbed ones."""

import json
import multiprocessing
import random
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch._dynamo  # noqa: F401  the first optimiser imports it, which would take every killed process a second

from MLOps.agents import training
from MLOps.agents.algorithms import ALGORITHMS
from MLOps.agents.policy import Agent
from MLOps.agents.training import train
from MLOps.artifacts import content_hash
from MLOps.config.agents import AgentConfig, parse_agent
from MLOps.config.trading import TradingConfig
from MLOps.training.checkpoints import Checkpoints
from tests.agents.trainings import TRADING, VIEW, market

EVERY_STEPS = 128
MOST_KILLS = ("ppo", "sac", "rainbow")

ON_POLICY: dict[str, Any] = {"n_steps": 32}
PPO: dict[str, Any] = {**ON_POLICY, "batch_size": 64, "n_epochs": 2}
OFF_POLICY: dict[str, Any] = {"buffer_size": 800, "learning_starts": 100, "batch_size": 16, "train_freq": 4}
OFF_POLICY |= {"learning_rate": 0.003}
OWN: dict[str, dict[str, Any]] = {
    "ppo": PPO,
    "maskable_ppo": PPO,
    "recurrent_ppo": {**PPO, "lstm_hidden_size": 8},
    "a2c": {"n_steps": 2},
    "trpo": {**ON_POLICY, "batch_size": 64, "n_critic_updates": 2},
    "dqn": {**OFF_POLICY, "n_steps": 3, "target_update_interval": 40},
    "qr_dqn": {**OFF_POLICY, "n_quantiles": 5, "target_update_interval": 40},
    "ddpg": {**OFF_POLICY, "action_noise": {"kind": "ornstein_uhlenbeck"}},
    "td3": {**OFF_POLICY, "action_noise": {"kind": "normal"}},
    "tqc": {**OFF_POLICY, "n_quantiles": 5},
}


def config_of(kind: str, steps: int = 1024) -> AgentConfig:
    common = {"kind": kind, "observe": {"features": ["column_0", "column_1"]}, "environments": 4, "net_arch": [8]}
    common |= {"total_timesteps": steps, "evaluate_every_steps": 2 * EVERY_STEPS}
    return parse_agent({**common, "checkpoint_every_steps": EVERY_STEPS, **OWN.get(kind, OFF_POLICY)}, "test")


def rules_of(config: AgentConfig) -> TradingConfig:
    return replace(TRADING, scheme=config.schemes[0])  # type: ignore[arg-type]


def train_agent(kind: str, steps: int, folder: Path) -> None:
    """What the stage does: train, write the agent and the history."""
    history: list[Any] = []
    config = config_of(kind, steps)
    agent, reward = train(
        config,
        VIEW,
        market(),
        market(9),
        rules_of(config),
        7,
        lambda step, metrics: history.append([step, metrics]),
        folder / "checkpoints",
    )
    agent.save(folder / "result")
    (folder / "result" / "history.json").write_text(json.dumps([reward, history]))


def slowly(work: Callable[[str, int, Path], None], *arguments: Any, begun: Event, saved: Event) -> None:
    """Pause after every checkpoint, so that a kill falls between two of them however fast the machine is."""
    begun.set()
    save = Checkpoints.save

    def slow_save(*state: Any) -> None:
        save(*state)
        saved.set()
        time.sleep(0.15)

    Checkpoints.save = slow_save  # type: ignore[method-assign, assignment]
    work(*arguments)


def kill_and_compare(work: Callable[[str, int, Path], None], name: str, kills: int, folder: Path) -> None:
    # At most two checkpoints are made between two kills.
    steps = EVERY_STEPS * (2 * kills + 4)
    work(name, steps, folder / "undisturbed")
    # A server with everything imported forks the trainings, so that a kill costs no new start of Python.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.agents.test_kills"])
    chance = random.Random(11)
    killed, reached = 0, set()
    while True:
        begun, saved = context.Event(), context.Event()
        arguments = {"begun": begun, "saved": saved}
        process = context.Process(target=slowly, args=(work, name, steps, folder / "killed"), kwargs=arguments)
        process.start()
        # Some are killed while they start or resume, the others while they learn or save.
        assert (begun if killed % 4 == 3 else saved).wait(timeout=120), "the training neither began nor ended"
        process.join(timeout=chance.uniform(0.0, 0.25) if killed < kills else None)
        if process.exitcode is not None:
            break
        process.kill()
        process.join()
        killed += 1
        reached.add(max((file.name for file in folder.rglob("killed/**/*.safetensors")), default=""))
    assert (process.exitcode, killed) == (0, kills)
    assert len(reached) > kills // 4, "the kills must fall on different checkpoints"
    assert content_hash(folder / "killed" / "result") == content_hash(folder / "undisturbed" / "result")


def test_a_killed_agent_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    kill_and_compare(train_agent, "ppo", 1, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ALGORITHMS)
def test_many_kills_of_an_agent_change_nothing(kind: str, tmp_path: Path) -> None:
    kill_and_compare(train_agent, kind, 20 if kind in MOST_KILLS else 5, tmp_path)


def test_a_finished_training_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_agent("ppo", 1024, tmp_path)
    first = content_hash(tmp_path / "result")
    monkeypatch.setattr("stable_baselines3.PPO.learn", lambda *_: pytest.fail("a rollout"))
    train_agent("ppo", 1024, tmp_path)
    assert content_hash(tmp_path / "result") == first


def test_checkpoints_change_nothing(tmp_path: Path) -> None:
    histories: list[list[Any]] = [[], []]
    for history, folder in zip(histories, (None, tmp_path), strict=True):
        config = config_of("a2c")
        note = lambda step, metrics, to=history: to.append((step, dict(metrics)))  # noqa: E731
        agent, _ = train(config, VIEW, market(), market(9), TRADING, 7, note, folder)
        history.append(agent.network.parameters.tobytes())
    assert histories[0] == histories[1]


def test_a_checkpoint_belongs_to_one_training(tmp_path: Path) -> None:
    """Whatever a result depends on names the folder, so that nothing else resumes from it."""
    config = config_of("ppo", 128)

    def folders(**changes: Any) -> int:
        given = {
            "config": config,
            "market": market(),
            "validation": market(9),
            "trading": TRADING,
            "seed": 7,
            **changes,
        }
        train(view=VIEW, on_step=lambda *_: None, checkpoints=tmp_path, **given)
        return len(list(tmp_path.iterdir()))

    assert folders() == folders() == 1
    changes: list[dict[str, Any]] = [
        {"config": replace(config, gamma=0.9)},
        {"config": config_of("a2c", 128)},
        {"market": market(1)},
        {"market": market().between(None, market().timestamps[-1])},
        {"validation": market(8)},
        {"trading": replace(TRADING, fee_bps=1.0)},
        {"seed": 8},
    ]
    for number, change in enumerate(changes, 2):
        assert folders(**change) == number, change


SELECTION = ("nothing", "best", "best_reward", "evaluated_at", "logged_at", "history")


@pytest.mark.parametrize("part", SELECTION)
def test_every_part_of_the_selection_is_needed(part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left out is as in a new training; then the kept weights or the history must differ."""
    order: dict[bytes, float] = {}

    def first_is_best(agent: Agent, *_: Any) -> float:
        # So that the best weights can come from the checkpoint alone.
        return order.setdefault(agent.network.parameters.tobytes(), -float(len(order)))

    monkeypatch.setattr(training, "mean_reward", first_is_best)
    train_agent("a2c", 2048, tmp_path / "undisturbed")

    class KilledError(Exception):
        """Stands for a kill within this process."""

    save = Checkpoints.save

    def save_and_stop(self: Checkpoints, step: int, *state: Any) -> None:
        save(self, step, *state)
        # Between two evaluations, and between two rows of the algorithm's metrics.
        if step >= 9 * EVERY_STEPS:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", save_and_stop)
        with pytest.raises(KilledError):
            train_agent("a2c", 2048, tmp_path / "killed")
    checkpoints = Checkpoints(next((tmp_path / "killed" / "checkpoints").iterdir()))
    state = checkpoints.newest()
    assert state is not None
    arrays, metadata = state
    if part == "best":
        arrays["others.best.parameters"] = np.zeros_like(arrays["others.best.parameters"])
    elif part != "nothing":
        fresh = {"best_reward": -np.inf, "evaluated_at": 0, "logged_at": 0, "history": []}
        metadata["others"][part] = fresh[part]
    checkpoints.save(10**9, arrays, metadata)
    train_agent("a2c", 2048, tmp_path / "killed")
    same = content_hash(tmp_path / "killed" / "result") == content_hash(tmp_path / "undisturbed" / "result")
    assert same == (part == "nothing")
