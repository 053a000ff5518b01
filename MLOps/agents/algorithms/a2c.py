"""Advantage actor-critic, the synchronous form of A3C (Mnih et al., 2016), by stable-baselines3."""

from stable_baselines3 import A2C

from MLOps.agents.algorithms.policy_networks import on_policy_actor
from MLOps.agents.algorithms.stable_baselines import StableBaselines


class A2CAlgorithm(StableBaselines):
    """See `Algorithm`."""

    learner_class = A2C
    policy_network = staticmethod(on_policy_actor)
