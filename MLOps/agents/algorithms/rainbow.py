"""Rainbow DQN (Hessel et al., 2018), our own on stable-baselines3's DQN."""

from typing import Any

from stable_baselines3.common.vec_env import VecEnv

from MLOps.agents.algorithms.policy_networks import activation_name
from MLOps.agents.algorithms.stable_baselines import StableBaselines
from MLOps.agents.network import PolicyNetwork
from MLOps.agents.rainbow.learner import Rainbow
from MLOps.agents.rainbow.network import folded_layers
from MLOps.agents.rainbow.replay import PrioritizedReplay
from MLOps.config.agents import RainbowConfig


class RainbowAlgorithm(StableBaselines):
    """See `Algorithm`."""

    learner_class = Rainbow

    @classmethod
    def replay_bytes(cls, config: RainbowConfig, environments: VecEnv) -> int:
        """See `Algorithm.replay_bytes`."""
        (width,) = environments.observation_space.shape or (0,)
        return PrioritizedReplay.memory_bytes(config.buffer_size, environments.num_envs, width)

    @staticmethod
    def policy_network(learner: Any) -> PolicyNetwork:
        """See `Algorithm.policy_network`: the expected return of each action."""
        network = learner.q_net
        return PolicyNetwork.from_layers(
            folded_layers(network),
            activation_name(learner.policy),
            output="expectation",
            support=network.support.cpu().numpy(),
        )
