"""A replay buffer beyond memory is refused before anything is trained."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Literal

import psutil
import pytest
from stable_baselines3.common.buffers import ReplayBuffer

from MLOps.agents.algorithms.rainbow import RainbowAlgorithm
from MLOps.agents.algorithms.stable_baselines import StableBaselines
from MLOps.agents.rainbow.replay import PrioritizedReplay
from MLOps.agents.replay_memory import check_replay_memory, transition_bytes
from MLOps.errors import UserError
from MLOps.trading.vector import TradingVecEnv
from tests.agents.trainings import CONFIGS, TRADING, market

Scheme = Literal["discrete", "weights"]


def environments(scheme: Scheme) -> TradingVecEnv:
    return TradingVecEnv(market(), replace(TRADING, scheme=scheme), 4)


@pytest.mark.parametrize("scheme", ["discrete", "weights"])
def test_the_bytes_are_those_of_the_buffer(scheme: Scheme) -> None:
    spaces = environments(scheme)
    buffer = ReplayBuffer(400, spaces.observation_space, spaces.action_space, "cpu", n_envs=4)
    arrays = (
        buffer.observations,
        buffer.next_observations,
        buffer.actions,
        buffer.rewards,
        buffer.dones,
        buffer.timeouts,
    )
    assert transition_bytes(spaces) * 400 == sum(array.nbytes for array in arrays)


def test_a_buffer_beyond_the_share_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    spaces = environments("weights")
    available = 2 * transition_bytes(spaces) * 1000
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=available))
    config: Any = SimpleNamespace(kind="sac", buffer_size=1000, replay_memory_share=0.5)
    check_replay_memory(config, StableBaselines.replay_bytes(config, spaces))
    config.buffer_size = 1001
    with pytest.raises(
        UserError, match=r"sac: buffer_size: 1001 transitions .* replay_memory_share 0.5 .* at most 1000$"
    ):
        check_replay_memory(config, StableBaselines.replay_bytes(config, spaces))
    without: Any = SimpleNamespace(kind="ppo")
    check_replay_memory(without, StableBaselines.replay_bytes(without, spaces))


def test_rainbow_counts_its_own_replay() -> None:
    spaces, config = environments("discrete"), CONFIGS["rainbow"]
    width = spaces.observation_space.shape[0]  # type: ignore[index]
    expected = PrioritizedReplay.memory_bytes(config.buffer_size, 4, width)  # type: ignore[union-attr]
    assert RainbowAlgorithm.replay_bytes(config, spaces) == expected  # type: ignore[arg-type]
    assert expected > StableBaselines.replay_bytes(config, spaces)
