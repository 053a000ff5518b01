"""The memory of a replay buffer, checked before a training that would run out of it after hours."""

from math import prod
from typing import Any

import psutil
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.common.vec_env import VecEnv

from MLOps.errors import UserError


def check_replay_memory(config: Any, environments: VecEnv) -> None:
    """Refuse a replay buffer larger than the configured share of the available memory.

    Args:
        config: of an agent; nothing is checked without a `buffer_size`.

    Raises:
        UserError: it is larger.
    """
    if (transitions := getattr(config, "buffer_size", None)) is None:
        return
    size = transition_bytes(environments)
    allowed = int(config.replay_memory_share * psutil.virtual_memory().available)
    if transitions * size > allowed:
        raise UserError(
            f"agents: {config.kind}: buffer_size: {transitions} transitions of {size} bytes need "
            f"{transitions * size / 2**30:.1f} GiB, more than replay_memory_share {config.replay_memory_share} of the "
            f"available memory, {allowed / 2**30:.1f} GiB; expected at most {allowed // size}"
        )


def transition_bytes(environments: VecEnv) -> int:
    """Bytes of a transition in stable-baselines3's `ReplayBuffer`.

    It is an observation and the next one, an action, and the reward, the end and the truncation in float32.
    """
    observations, actions = environments.observation_space, environments.action_space
    assert observations.shape is not None and observations.dtype is not None and actions.dtype is not None
    observation = prod(observations.shape) * observations.dtype.itemsize
    return 2 * observation + get_action_dim(actions) * actions.dtype.itemsize + 3 * 4
