"""Algorithms of stable-baselines3 and sb3-contrib: the section of params.yaml as the arguments of their learners."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, ClassVar

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.noise import ActionNoise, NormalActionNoise, OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.vec_env import VecEnv
from torch import nn
from torch.optim import Adam

from MLOps.agents.algorithms.mixed_precision import use_bfloat16
from MLOps.agents.algorithms.window_extractor import extractor_arguments, tuned_weights
from MLOps.agents.fine_tuning import Pretrained
from MLOps.agents.learner_state import optimisers
from MLOps.agents.replay_memory import transition_bytes
from MLOps.config.agents import OWN, LinearSchedule
from MLOps.config.agents import ActionNoise as ActionNoiseConfig

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
    "silu": nn.SiLU,
}
# Parameters of the policy; all others that are not our own are the learner's.
OF_POLICY = (
    *("net_arch", "activation_fn", "log_std_init", "ortho_init", "n_critics", "n_quantiles"),
    *("lstm_hidden_size", "enable_critic_lstm", "batch_norm_momentum", "renorm_warmup_steps"),
    *("n_atoms", "sigma0"),
)


class StableBaselines:
    """An `Algorithm` whose learner is a class of stable-baselines3 or sb3-contrib."""

    learner_class: ClassVar[type[BaseAlgorithm]]
    policy: ClassVar[str] = "MlpPolicy"

    @classmethod
    def learner(
        cls, config: Any, environments: VecEnv, seed: int, pretrained: Pretrained | None = None
    ) -> BaseAlgorithm:
        """See `Algorithm.learner`."""
        arguments = learner_arguments(config, environments, seed)
        if pretrained is not None:
            arguments["policy_kwargs"] |= extractor_arguments(pretrained, environments, config.device)
        learner = cls.learner_class(cls.policy, **arguments)
        _fuse_optimisers(learner)
        if getattr(config, "precision", "float32") == "bfloat16":
            use_bfloat16(learner)
        return learner

    @classmethod
    def replay_bytes(cls, config: Any, environments: VecEnv) -> int:
        """See `Algorithm.replay_bytes`."""
        return getattr(config, "buffer_size", 0) * transition_bytes(environments)

    tuned_weights = staticmethod(tuned_weights)


def learner_arguments(config: Any, environments: VecEnv, seed: int) -> dict[str, Any]:
    """Keyword arguments of the learner, the policy's class excepted.

    Args:
        config: the agent's section.
    """
    values = {field.name: getattr(config, field.name) for field in fields(config) if field.name not in OWN}
    policy = {name: values.pop(name) for name in OF_POLICY if name in values}
    arch = policy["net_arch"]
    policy["net_arch"] = (
        {f.name: list(getattr(arch, f.name)) for f in fields(arch)} if is_dataclass(arch) else list(arch)
    )
    policy["activation_fn"] = ACTIVATIONS[policy["activation_fn"]]
    values = {name: _linear(value) if isinstance(value, LinearSchedule) else value for name, value in values.items()}
    if values.get("action_noise") is not None:
        values["action_noise"] = _noise(values["action_noise"], environments)
    return {"env": environments, "seed": seed, "policy_kwargs": policy, **values}


def _fuse_optimisers(learner: BaseAlgorithm) -> None:
    """Let Adam update all parameters in one call, for its own loop costs as much as a step of a small network."""
    for optimiser in optimisers(learner).values():
        if isinstance(optimiser, Adam):
            for group in optimiser.param_groups:
                group["fused"] = True


def _linear(schedule: LinearSchedule) -> Callable[[float], float]:
    # stable-baselines3 asks with the part of the training that remains, from 1 to 0.
    return lambda remaining: schedule.end + remaining * (schedule.start - schedule.end)


def _noise(config: ActionNoiseConfig, environments: VecEnv) -> ActionNoise:
    shape = environments.action_space.shape
    assert shape is not None
    mean, sigma = np.zeros(shape), np.full(shape, config.sigma)
    return NormalActionNoise(mean, sigma) if config.kind == "normal" else OrnsteinUhlenbeckActionNoise(mean, sigma)
