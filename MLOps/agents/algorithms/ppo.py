"""Proximal policy optimisation (Schulman et al., 2017), by stable-baselines3."""

from stable_baselines3 import PPO

from MLOps.agents.algorithms.policy_networks import on_policy_actor
from MLOps.agents.algorithms.stable_baselines import StableBaselines


class PPOAlgorithm(StableBaselines):
    """See `Algorithm`."""

    learner_class = PPO
    policy_network = staticmethod(on_policy_actor)
