"""Duelling, noisy, distributional network of Rainbow, and the policy that acts by it."""

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.dqn.policies import DQNPolicy
from torch import nn

from MLOps.agents.rainbow.noisy import NoisyLinear

Layer = tuple[np.ndarray, np.ndarray]


class RainbowNetwork(BasePolicy):
    """Distributions of the return of each action over the atoms of `support`, (atoms,).

    `net_arch` without its last width are plain layers that both streams share. Each stream has a noisy hidden layer of
    the last width and a noisy output layer. The logits are V + A - mean over actions of A, atom by atom (Wang et al.,
    2016, "Dueling network architectures for deep reinforcement learning", equation 9; Hessel et al., 2018).
    """

    def __init__(
        self,
        observation_space: Any,
        action_space: Any,
        features_extractor: Any,
        features_dim: int,
        net_arch: list[int],
        activation_fn: type[nn.Module],
        n_atoms: int,
        sigma0: float,
        normalize_images: bool = True,
    ) -> None:
        super().__init__(
            observation_space, action_space, features_extractor=features_extractor, normalize_images=normalize_images
        )
        *shared, hidden = net_arch
        self.n_actions, self.n_atoms = int(action_space.n), n_atoms
        self.activation = activation_fn()
        self.shared = nn.ModuleList(nn.Linear(*widths) for widths in pairwise([features_dim, *shared]))
        width = shared[-1] if shared else features_dim
        self.value_hidden, self.advantage_hidden = (NoisyLinear(width, hidden, sigma0) for _ in range(2))
        self.value = NoisyLinear(hidden, n_atoms, sigma0)
        self.advantage = NoisyLinear(hidden, self.n_actions * n_atoms, sigma0)
        self.support: torch.Tensor
        self.register_buffer("support", torch.linspace(-1, 1, n_atoms))

    def logits(self, observations: torch.Tensor, draws: int) -> torch.Tensor:
        """(n, actions, atoms); `draws` of the noise as in `NoisyLinear.forward`."""
        features = self.extract_features(observations, self.features_extractor)
        for layer in self.shared:
            features = self.activation(layer(features))
        value = self.value(self.activation(self.value_hidden(features, draws)), draws)
        advantage = self.advantage(self.activation(self.advantage_hidden(features, draws)), draws)
        advantage = advantage.view(-1, self.n_actions, self.n_atoms)
        return value[:, None] + advantage - advantage.mean(dim=1, keepdim=True)

    def expected_returns(self, logits: torch.Tensor) -> torch.Tensor:
        """(n, actions) of logits (n, actions, atoms)."""
        return torch.softmax(logits, dim=2) @ self.support

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Expected returns without noise, (n, actions)."""
        return self.expected_returns(self.logits(observations, draws=0))

    def _predict(self, observation: Any, deterministic: bool = True) -> torch.Tensor:
        """The action of the highest expected return; unless deterministic, every row has its own draw of the noise."""
        draws = 0 if deterministic else len(observation)
        return self.expected_returns(self.logits(observation, draws)).argmax(dim=1)


class RainbowPolicy(DQNPolicy):
    """stable-baselines3's DQN policy with `RainbowNetwork` for both of its networks."""

    def __init__(self, *args: Any, n_atoms: int, sigma0: float, **kwargs: Any) -> None:
        self._own: dict[str, Any] = {"n_atoms": n_atoms, "sigma0": sigma0}
        super().__init__(*args, **kwargs)

    def make_q_net(self) -> Any:
        arguments = self._update_features_extractor(self.net_args, features_extractor=None)
        return RainbowNetwork(**arguments, **self._own).to(self.device)


def folded_layers(network: RainbowNetwork) -> list[Layer]:
    """Weights (outputs, inputs) and bias (outputs,) of the multilayer perceptron that gives the logits without noise.

    The streams stand side by side in one hidden layer. V + A - mean A is linear, so it is part of the last layer, whose
    outputs are actions × atoms, actions first.
    """
    atoms, actions = network.n_atoms, network.n_actions
    value, advantage = _means(network.value), _means(network.advantage)
    streams = [_means(network.value_hidden), _means(network.advantage_hidden)]
    hidden: Layer = (
        np.concatenate([weight for weight, _ in streams]),
        np.concatenate([bias for _, bias in streams]),
    )

    def centred(parameters: np.ndarray) -> np.ndarray:
        by_action = parameters.reshape(actions, atoms, -1)
        return (by_action - by_action.mean(axis=0)).reshape(len(parameters), -1)

    weight = np.concatenate([np.tile(value[0], (actions, 1)), centred(advantage[0])], axis=1)
    bias = np.tile(value[1], actions) + centred(advantage[1])[:, 0]
    layers = [*(_means(layer) for layer in network.shared), hidden, (weight, bias)]
    return [(weight.astype(np.float32), bias.astype(np.float32)) for weight, bias in layers]


def _means(layer: Any) -> Layer:
    """In double precision, so that folding rounds once."""
    return layer.weight.detach().cpu().double().numpy(), layer.bias.detach().cpu().double().numpy()
