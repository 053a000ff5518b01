"""Truncated quantile critics (Kuznetsov et al., 2020), by sb3-contrib."""

from sb3_contrib import TQC

from MLOps.agents.algorithms.policy_networks import squashed_actor
from MLOps.agents.algorithms.stable_baselines import StableBaselines


class TQCAlgorithm(StableBaselines):
    """See `Algorithm`."""

    learner_class = TQC
    policy_network = staticmethod(squashed_actor)
