"""Proximal policy optimisation (Schulman et al., 2017), by stable-baselines3."""

from typing import Any

from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv

from MLOps.agents.algorithms.actor_critic import actor_network, arguments
from MLOps.agents.network import PolicyNetwork
from MLOps.config.agents import PPOConfig


class PPOAlgorithm:
    """See `Algorithm`."""

    @staticmethod
    def learner(config: PPOConfig, environments: VecEnv, seed: int) -> PPO:
        """See `Algorithm.learner`."""
        return PPO("MlpPolicy", environments, **arguments(config, seed, "batch_size", "n_epochs", "clip_range"))

    @staticmethod
    def policy_network(learner: Any) -> PolicyNetwork:
        """See `Algorithm.policy_network`."""
        return actor_network(learner)
