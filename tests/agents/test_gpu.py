"""Agents on CUDA: the same outputs as on the CPU, the same bytes on repeat and after a stop."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import pytest
import torch

from MLOps.agents.algorithms import ALGORITHMS
from MLOps.agents.policy import Agent
from MLOps.agents.training import train
from MLOps.config.agents import AgentConfig
from MLOps.trading.vector import TradingVecEnv
from MLOps.training.determinism import seed_torch
from MLOps.training.device import weights_of
from tests.agents.trainings import CONFIGS, RULES, VIEW, market, suited

ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def trained(kind: str, folder: Path | None = None, stop_at: int | None = None, **changes: Any) -> Agent:
    seed_torch(0, 1)

    def on_step(step: int, metrics: Mapping[str, float]) -> None:
        if stop_at is not None and step >= stop_at:
            raise KeyboardInterrupt

    settings: dict[str, Any] = {"device": "cuda", "checkpoint_every_steps": 128, **changes}
    config: AgentConfig = replace(CONFIGS[kind], **settings)
    return train(config, VIEW, market(), market(9), RULES[suited(kind)], 7, on_step, folder)[0]


def parameters(agent: Agent) -> bytes:
    return agent.network.parameters.tobytes()


@ON_GPU
@pytest.mark.parametrize("kind", CONFIGS)
def test_a_policy_has_the_same_outputs_on_a_gpu(kind: str) -> None:
    seed_torch(0, 1)
    environments = TradingVecEnv(market(), RULES[suited(kind)], 4, seed=3)
    algorithm = resolve_name(ALGORITHMS[kind])
    cpu, gpu = (
        algorithm.policy_network(algorithm.learner(replace(CONFIGS[kind], device=device), environments, 3))
        for device in ("cpu", "cuda")
    )
    np.testing.assert_array_equal(gpu.parameters, cpu.parameters)


@ON_GPU
@pytest.mark.parametrize("kind", CONFIGS)
def test_an_agent_trained_on_a_gpu_has_the_same_bytes_on_repeat(kind: str) -> None:
    first, second = trained(kind), trained(kind)
    assert first.config.device == "cuda"
    assert parameters(first) == parameters(second)


@ON_GPU
@pytest.mark.parametrize("kind", ["ppo", "sac", "dqn"])
def test_a_training_stopped_on_a_gpu_resumes_with_the_same_bytes(kind: str, tmp_path: Path) -> None:
    whole = trained(kind)
    with pytest.raises(KeyboardInterrupt):
        trained(kind, tmp_path, stop_at=600)
    assert parameters(trained(kind, tmp_path)) == parameters(whole)


def test_without_a_gpu_auto_trains_on_the_cpu_with_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    automatic, plain = trained("ppo", device="auto"), trained("ppo", device="cpu")
    assert automatic.config.device == "auto"
    assert parameters(automatic) == parameters(plain)


@pytest.mark.parametrize(("kind", "rows"), [("ppo", 64), ("a2c", 32 * 4), ("dqn", 32)])
def test_auto_weighs_the_networks_and_the_rows_of_an_update(
    kind: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def pick(wanted: str, multiply_adds: int, setting: str) -> torch.device:
        asked.append(multiply_adds)
        return torch.device("cpu")

    monkeypatch.setattr("MLOps.agents.training.pick_device", pick)
    trained(kind, device="auto", total_timesteps=256)
    environments = TradingVecEnv(market(), RULES[suited(kind)], 4, seed=3)
    learner = resolve_name(ALGORITHMS[kind]).learner(CONFIGS[kind], environments, 3)
    assert asked == [weights_of(learner.policy) * rows]
