"""CrossQ (Bhatt et al., 2024), by sb3-contrib."""

from sb3_contrib import CrossQ

from MLOps.agents.algorithms.policy_networks import squashed_actor
from MLOps.agents.algorithms.stable_baselines import StableBaselines


class CrossQAlgorithm(StableBaselines):
    """See `Algorithm`."""

    learner_class = CrossQ
    policy_network = staticmethod(squashed_actor)
