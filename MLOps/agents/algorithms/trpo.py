"""Trust region policy optimisation (Schulman et al., 2015), by sb3-contrib."""

from sb3_contrib import TRPO

from MLOps.agents.algorithms.policy_networks import on_policy_actor
from MLOps.agents.algorithms.stable_baselines import StableBaselines


class TRPOAlgorithm(StableBaselines):
    """See `Algorithm`."""

    learner_class = TRPO
    policy_network = staticmethod(on_policy_actor)
