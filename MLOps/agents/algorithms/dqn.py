"""Deep Q-network (Mnih et al., 2015), by stable-baselines3."""

from stable_baselines3 import DQN

from MLOps.agents.algorithms.exploration import ExploresByEnvironment
from MLOps.agents.algorithms.policy_networks import action_values
from MLOps.agents.algorithms.stable_baselines import StableBaselines


class _DQN(ExploresByEnvironment, DQN):
    pass


class DQNAlgorithm(StableBaselines):
    """See `Algorithm`."""

    learner_class = _DQN
    policy_network = staticmethod(action_values)
