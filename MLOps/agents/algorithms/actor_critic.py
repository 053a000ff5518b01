"""Shared by stable-baselines3's on-policy actor-critic algorithms."""

from typing import Any

from torch import nn

from MLOps.agents.network import PolicyNetwork

SHARED = ("n_steps", "learning_rate", "gamma", "gae_lambda", "ent_coef", "vf_coef", "max_grad_norm")


def arguments(config: Any, seed: int, *own: str) -> dict[str, Any]:
    """Keyword arguments of the learner: the shared ones and those of one algorithm, `own`."""
    chosen = {name: getattr(config, name) for name in (*SHARED, *own)}
    return {**chosen, "policy_kwargs": {"net_arch": list(config.net_arch)}, "seed": seed, "device": "cpu"}


def actor_network(learner: Any) -> PolicyNetwork:
    """A copy of the layers between observation and action logits."""
    policy = learner.policy
    layers = [module for module in policy.mlp_extractor.policy_net if isinstance(module, nn.Linear)]
    return PolicyNetwork.from_layers(
        [(layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in [*layers, policy.action_net]]
    )
