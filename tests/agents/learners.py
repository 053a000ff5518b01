"""Small learners of every algorithm and of the variants whose state differs, on trading environments."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import sb3_contrib
import stable_baselines3 as sb3
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike

from MLOps.agents.rainbow.learner import Rainbow
from MLOps.trading.vector import TradingVecEnv
from tests.agents.trainings import TRADING, market

ENVIRONMENTS = 4


def noise(kind: Callable[..., Any]) -> Any:
    return kind(np.zeros(1), np.full(1, 0.3))


NET: dict[str, Any] = {"net_arch": [8]}
ON: dict[str, Any] = {"n_steps": 16, "learning_rate": 0.01, "policy_kwargs": NET}
OFF: dict[str, Any] = {
    "buffer_size": 400,
    "learning_starts": 100,
    "batch_size": 16,
    "train_freq": 4,
    "policy_kwargs": NET,
}
OFF |= {"learning_rate": 0.01}
Q: dict[str, Any] = OFF | {"target_update_interval": 24, "exploration_fraction": 0.8}
RAINBOW: dict[str, Any] = {
    "n_steps": 3,
    "gamma": 0.95,
    "v_max": None,
    "prioritized_replay_alpha": 0.5,
    "prioritized_replay_beta0": 0.4,
    "policy_kwargs": NET | {"n_atoms": 11, "sigma0": 0.5},
}

# Name: class, scheme, arguments; "MlpPolicy" unless given.
LEARNERS: dict[str, tuple[type[BaseAlgorithm], Literal["discrete", "weights"], dict[str, Any]]] = {
    "ppo": (sb3.PPO, "discrete", ON | {"batch_size": 32, "n_epochs": 2}),
    "ppo_gsde": (sb3.PPO, "weights", ON | {"batch_size": 32, "n_epochs": 2, "use_sde": True}),
    "a2c": (sb3.A2C, "discrete", ON),
    "a2c_tf": (sb3.A2C, "weights", ON | {"policy_kwargs": NET | {"optimizer_class": RMSpropTFLike}}),
    "dqn": (sb3.DQN, "discrete", Q),
    "dqn_n_step": (sb3.DQN, "discrete", Q | {"n_steps": 3}),
    "ddpg": (sb3.DDPG, "weights", OFF | {"action_noise": noise(OrnsteinUhlenbeckActionNoise)}),
    "td3": (sb3.TD3, "weights", OFF | {"action_noise": noise(NormalActionNoise)}),
    "sac": (sb3.SAC, "weights", OFF),
    "sac_gsde": (sb3.SAC, "weights", OFF | {"use_sde": True}),
    "recurrent_ppo": (
        sb3_contrib.RecurrentPPO,
        "discrete",
        ON | {"batch_size": 32, "n_epochs": 2, "policy_kwargs": NET | {"lstm_hidden_size": 8}},
    ),
    "maskable_ppo": (sb3_contrib.MaskablePPO, "discrete", ON | {"batch_size": 32, "n_epochs": 2}),
    "qrdqn": (sb3_contrib.QRDQN, "discrete", Q | {"policy_kwargs": NET | {"n_quantiles": 5}}),
    "rainbow": (Rainbow, "discrete", Q | RAINBOW),
    "tqc": (sb3_contrib.TQC, "weights", OFF | {"policy_kwargs": NET | {"n_quantiles": 5}}),
    "crossq": (sb3_contrib.CrossQ, "weights", OFF),
    "trpo": (sb3_contrib.TRPO, "weights", ON | {"batch_size": 32, "n_critic_updates": 2}),
}


def learner(name: str) -> BaseAlgorithm:
    """The learner as it is before any step, whatever the generators were before."""
    kind, scheme, arguments = LEARNERS[name]
    # Short episodes, so that some end between a checkpoint and the end.
    trading = replace(TRADING, scheme=scheme, episode_bars=30)
    environments = TradingVecEnv(market(), trading, ENVIRONMENTS, seed=3)
    policy = "MlpLstmPolicy" if kind is sb3_contrib.RecurrentPPO else "MlpPolicy"
    torch.set_num_threads(1)
    # A copy, since stable-baselines3 adds to policy_kwargs.
    return kind(policy, environments, seed=3, device="cpu", **deepcopy(arguments))
