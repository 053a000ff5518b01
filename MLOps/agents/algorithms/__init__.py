"""Reinforcement learning algorithms, one a file; each implements `MLOps.agents.contract.Algorithm`."""

# The class of each kind. Names, so that only those in use are imported. Adding one is one line here, beside its file
# and its section in MLOps/config/agents.py.
ALGORITHMS: dict[str, str] = {
    "ppo": "MLOps.agents.algorithms.ppo:PPOAlgorithm",
    "maskable_ppo": "MLOps.agents.algorithms.maskable_ppo:MaskablePPOAlgorithm",
    "recurrent_ppo": "MLOps.agents.algorithms.recurrent_ppo:RecurrentPPOAlgorithm",
    "a2c": "MLOps.agents.algorithms.a2c:A2CAlgorithm",
    "trpo": "MLOps.agents.algorithms.trpo:TRPOAlgorithm",
    "dqn": "MLOps.agents.algorithms.dqn:DQNAlgorithm",
    "qr_dqn": "MLOps.agents.algorithms.qr_dqn:QRDQNAlgorithm",
    "rainbow": "MLOps.agents.algorithms.rainbow:RainbowAlgorithm",
    "ddpg": "MLOps.agents.algorithms.ddpg:DDPGAlgorithm",
    "td3": "MLOps.agents.algorithms.td3:TD3Algorithm",
    "sac": "MLOps.agents.algorithms.sac:SACAlgorithm",
    "tqc": "MLOps.agents.algorithms.tqc:TQCAlgorithm",
    "crossq": "MLOps.agents.algorithms.crossq:CrossQAlgorithm",
}
