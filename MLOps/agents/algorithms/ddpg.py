"""Deep deterministic policy gradient (Lillicrap et al., 2016), by stable-baselines3."""

from stable_baselines3 import DDPG

from MLOps.agents.algorithms.policy_networks import squashed_actor
from MLOps.agents.algorithms.stable_baselines import StableBaselines


class DDPGAlgorithm(StableBaselines):
    """See `Algorithm`."""

    learner_class = DDPG
    policy_network = staticmethod(squashed_actor)
