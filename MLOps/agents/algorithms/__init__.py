"""Reinforcement learning algorithms, one a file; each implements `MLOps.agents.contract.Algorithm`."""

# The class of each kind. Names, so that only those in use are imported. Adding one is one line here, beside its file
# and its section in MLOps/config/agents.py.
ALGORITHMS: dict[str, str] = {
    "ppo": "MLOps.agents.algorithms.ppo:PPOAlgorithm",
    "a2c": "MLOps.agents.algorithms.a2c:A2CAlgorithm",
}
