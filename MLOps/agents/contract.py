"""The contract of reinforcement learning algorithms."""

from typing import Any, Protocol

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from MLOps.agents.fine_tuning import Pretrained
from MLOps.agents.network import PolicyNetwork


class Algorithm(Protocol):
    """A learner on vectorised environments, and its policy network.

    Training, saving, deciding and serving use algorithms through this contract only.
    """

    @staticmethod
    def learner(config: Any, environments: VecEnv, seed: int, pretrained: Pretrained | None = None) -> BaseAlgorithm:
        """An untrained learner.

        Args:
            config: the agent's section of params.yaml, of the class that belongs to the algorithm.
            pretrained: a network that the policy applies to the windows of the observation and trains on.
        """
        ...

    @staticmethod
    def replay_bytes(config: Any, environments: VecEnv) -> int:
        """Memory of the learner's replay buffer when full; 0 without one."""
        ...

    @staticmethod
    def policy_network(learner: Any) -> PolicyNetwork:
        """A copy of the learner's policy: observations to a score per action, of which the highest is chosen, or to
        actions that are numbers. The observations of a learner with a pretrained network have its embedding."""
        ...

    @staticmethod
    def tuned_weights(learner: Any) -> dict[str, np.ndarray]:
        """Copies of the weights that the pretrained network of the acting policy has by now, as `fine_tuned` takes
        them; none without one."""
        ...
