"""What every algorithm is: a learner on vectorised environments, and the network in it that decides."""

from typing import Any, Protocol

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from MLOps.agents.network import PolicyNetwork


class Algorithm(Protocol):
    """The contract of all algorithms. Training, saving, deciding and serving know nothing else of them."""

    @staticmethod
    def learner(config: Any, environments: VecEnv, seed: int) -> BaseAlgorithm:
        """An untrained learner.

        Args:
            config: the agent's section of params.yaml, of the class that belongs to the algorithm.
        """
        ...

    @staticmethod
    def policy_network(learner: Any) -> PolicyNetwork:
        """A copy of what decides in the learner: observations in, a score for each action out; the highest is taken."""
        ...
