"""Exploration of deep Q-learning with several environments."""

from typing import Any

import numpy as np


class ExploresByEnvironment:
    """Mixed into stable-baselines3's DQN, which draws once for all environments: either all explore or none does.

    Here each environment explores with the probability `exploration_rate`, independently of the others.
    """

    policy: Any
    action_space: Any
    exploration_rate: float

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[np.ndarray, Any]:
        """Epsilon-greedy actions."""
        actions, state = self.policy.predict(observation, state, episode_start, deterministic)
        if not deterministic:
            explores = np.random.rand(len(actions)) < self.exploration_rate
            actions = np.where(explores, np.random.randint(self.action_space.n, size=len(actions)), actions)
        return actions, state
