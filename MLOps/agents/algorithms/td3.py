"""Twin delayed DDPG (Fujimoto et al., 2018), by stable-baselines3."""

from stable_baselines3 import TD3

from MLOps.agents.algorithms.policy_networks import squashed_actor
from MLOps.agents.algorithms.stable_baselines import StableBaselines


class TD3Algorithm(StableBaselines):
    """See `Algorithm`."""

    learner_class = TD3
    policy_network = staticmethod(squashed_actor)
