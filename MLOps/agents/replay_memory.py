"""The memory of a replay buffer, checked before a training that would run out of it after hours."""

from math import prod
from typing import Any

import psutil
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.common.vec_env import VecEnv

from MLOps.errors import UserError


def check_replay_memory(config: Any, needed: int) -> None:
    """Refuse a replay buffer larger than the configured share of the available memory.

    Args:
        config: of an agent.
        needed: bytes of the full buffer; 0 without one.

    Raises:
        UserError: it is larger.
    """
    if not needed:
        return
    allowed = int(config.replay_memory_share * psutil.virtual_memory().available)
    if needed > allowed:
        raise UserError(
            f"agents: {config.kind}: buffer_size: {config.buffer_size} transitions need {needed / 2**30:.1f} GiB, more "
            f"than replay_memory_share {config.replay_memory_share} of the available memory, "
            f"{allowed / 2**30:.1f} GiB; expected at most {allowed * config.buffer_size // needed}"
        )


def transition_bytes(environments: VecEnv) -> int:
    """Bytes of a transition in stable-baselines3's `ReplayBuffer`.

    It is an observation and the next one, an action, and the reward, the end and the truncation in float32.
    """
    observations, actions = environments.observation_space, environments.action_space
    assert observations.shape is not None and observations.dtype is not None and actions.dtype is not None
    observation = prod(observations.shape) * observations.dtype.itemsize
    return 2 * observation + get_action_dim(actions) * actions.dtype.itemsize + 3 * 4
