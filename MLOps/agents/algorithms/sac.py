"""Soft actor-critic (Haarnoja et al., 2018), by stable-baselines3."""

from stable_baselines3 import SAC

from MLOps.agents.algorithms.policy_networks import squashed_actor
from MLOps.agents.algorithms.stable_baselines import StableBaselines


class SACAlgorithm(StableBaselines):
    """See `Algorithm`."""

    learner_class = SAC
    policy_network = staticmethod(squashed_actor)
