"""PPO with an LSTM, by sb3-contrib."""

from sb3_contrib import RecurrentPPO

from MLOps.agents.algorithms.policy_networks import recurrent_actor
from MLOps.agents.algorithms.stable_baselines import StableBaselines


class RecurrentPPOAlgorithm(StableBaselines):
    """See `Algorithm`."""

    learner_class = RecurrentPPO
    policy = "MlpLstmPolicy"
    policy_network = staticmethod(recurrent_actor)
