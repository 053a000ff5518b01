"""Advantage actor-critic, the synchronous form of A3C (Mnih et al., 2016), by stable-baselines3."""

from typing import Any

from stable_baselines3 import A2C
from stable_baselines3.common.vec_env import VecEnv

from MLOps.agents.algorithms.actor_critic import actor_network, arguments
from MLOps.agents.network import PolicyNetwork
from MLOps.config.agents import A2CConfig

OWN = ("rms_prop_eps", "use_rms_prop", "normalize_advantage")


class A2CAlgorithm:
    """See `Algorithm`."""

    @staticmethod
    def learner(config: A2CConfig, environments: VecEnv, seed: int) -> A2C:
        """See `Algorithm.learner`."""
        return A2C("MlpPolicy", environments, **arguments(config, seed, *OWN))

    @staticmethod
    def policy_network(learner: Any) -> PolicyNetwork:
        """See `Algorithm.policy_network`."""
        return actor_network(learner)
