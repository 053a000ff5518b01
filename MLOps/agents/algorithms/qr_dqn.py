"""DQN over quantiles of the return (Dabney et al., 2018), by sb3-contrib."""

from sb3_contrib import QRDQN

from MLOps.agents.algorithms.exploration import ExploresByEnvironment
from MLOps.agents.algorithms.policy_networks import mean_action_values
from MLOps.agents.algorithms.stable_baselines import StableBaselines


class _QRDQN(ExploresByEnvironment, QRDQN):
    pass


class QRDQNAlgorithm(StableBaselines):
    """See `Algorithm`."""

    learner_class = _QRDQN
    policy_network = staticmethod(mean_action_values)
