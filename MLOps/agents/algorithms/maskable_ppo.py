"""PPO with a mask of actions (Huang and Ontañón, 2022), by sb3-contrib."""

from sb3_contrib import MaskablePPO

from MLOps.agents.algorithms.policy_networks import on_policy_actor
from MLOps.agents.algorithms.stable_baselines import StableBaselines


class MaskablePPOAlgorithm(StableBaselines):
    """See `Algorithm`."""

    learner_class = MaskablePPO
    policy_network = staticmethod(on_policy_actor)
