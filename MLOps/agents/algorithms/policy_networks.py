"""Copies of trained policies as compiled networks, by the way the policy is built."""

from typing import Any

from MLOps.agents.algorithms.layers import linear_layers
from MLOps.agents.algorithms.stable_baselines import ACTIVATIONS
from MLOps.agents.network import LSTMCell, PolicyNetwork


def on_policy_actor(learner: Any) -> PolicyNetwork:
    """Logits of a list of actions, or the mean of actions that are numbers."""
    policy = learner.policy
    return PolicyNetwork.from_layers(
        linear_layers(policy.mlp_extractor.policy_net, policy.action_net), activation_name(policy)
    )


def recurrent_actor(learner: Any) -> PolicyNetwork:
    """As `on_policy_actor`, with an LSTM before it."""
    policy = learner.policy
    layers = linear_layers(policy.mlp_extractor.policy_net, policy.action_net)
    parts = [getattr(policy.lstm_actor, f"{name}_l0") for name in LSTMCell._fields]
    return PolicyNetwork.from_layers(
        layers, activation_name(policy), cell=LSTMCell(*(p.detach().cpu().numpy() for p in parts))
    )


def action_values(learner: Any) -> PolicyNetwork:
    """The value of each action of a list."""
    return PolicyNetwork.from_layers(linear_layers(learner.q_net.q_net), activation_name(learner.policy))


def mean_action_values(learner: Any) -> PolicyNetwork:
    """The value of each action as the mean of its quantiles, which is a linear layer like that of the quantiles."""
    network = learner.quantile_net
    layers = linear_layers(network.quantile_net)
    weight, bias = layers[-1]
    quantiles = network.n_quantiles
    layers[-1] = (
        weight.reshape(quantiles, -1, weight.shape[1]).mean(axis=0),
        bias.reshape(quantiles, -1).mean(axis=0),
    )
    return PolicyNetwork.from_layers(layers, activation_name(learner.policy))


def squashed_actor(learner: Any) -> PolicyNetwork:
    """The deterministic action in [-1, 1] of an off-policy actor: the tanh of its last layer."""
    actor = learner.actor
    parts = [actor.latent_pi, actor.mu] if hasattr(actor, "latent_pi") else [actor.mu]
    return PolicyNetwork.from_layers(linear_layers(*parts), activation_name(learner.policy), output="tanh")


def activation_name(policy: Any) -> str:
    """The policy's activation by its name in params.yaml."""
    return next(name for name, kind in ACTIVATIONS.items() if kind is policy.activation_fn)
