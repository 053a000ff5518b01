"""Training of on-policy algorithms in bfloat16."""

from collections.abc import Callable
from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from MLOps.training.precision import bfloat16_is_native


def use_bfloat16(learner: BaseAlgorithm) -> None:
    """Compute the hidden layers of policy and value function in bfloat16, where the device has it.

    Parameters, optimiser state, the last layers, log-probabilities and losses stay in float32: the ratio of new to old
    probability is near 1, where bfloat16 resolves 0.8 % only. Rollouts use the same precision as updates, so that the
    ratio starts at 1. bfloat16 has the range of float32, so losses need no scaling.
    """
    if not bfloat16_is_native(learner.device, "precision"):
        return
    extractor: Any = learner.policy.mlp_extractor
    for name in ("forward_actor", "forward_critic"):
        setattr(extractor, name, _in_bfloat16(getattr(extractor, name), learner.device.type))


def _in_bfloat16(
    forward: Callable[[torch.Tensor], torch.Tensor], device: str
) -> Callable[[torch.Tensor], torch.Tensor]:
    def autocast_forward(features: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device, torch.bfloat16):
            hidden = forward(features)
        return hidden.float()

    return autocast_forward
