"""A trained predictor's network as the features extractor of a stable-baselines3 policy, trained on by its gradient."""

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.utils import get_device
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from MLOps.agents.fine_tuning import Pretrained, is_window

if TYPE_CHECKING:
    # Agents without such a network do not depend on the code of networks.
    from MLOps.predictors.network import NetworkPredictor

# The attribute of a policy that holds the network that acts, where it is not the policy itself.
ACTING = ("actor", "q_net", "quantile_net")


class WindowExtractor(BaseFeaturesExtractor):
    """Replaces each window number in the observation by the network's embedding of that window.

    Windows are gathered from one block of scaled features as they are needed, so that rollouts and replay buffers hold
    their numbers only.

    Args:
        values: (rows, features) the scaled feature table, on the learner's device; shared by all extractors.
        columns: of the observation, those that number windows.
    """

    def __init__(
        self, observation_space: Any, predictor: "NetworkPredictor", values: torch.Tensor, columns: tuple[int, ...]
    ) -> None:
        assert predictor.embedding is not None
        size = predictor.embedding.weights.shape[1]
        super().__init__(observation_space, observation_space.shape[0] + len(columns) * (size - 1))
        # The heads are no part of the embedding.
        self.network: Any = copy.deepcopy(predictor.network)
        del self.network.heads
        self.center = nn.Parameter(torch.from_numpy(predictor.embedding.center).float())
        self.weights = nn.Parameter(torch.from_numpy(predictor.embedding.weights).float())
        self._columns = columns
        # No buffers, which checkpoints would save and each extractor would move to the device by itself.
        self._values, self._offsets = values, torch.arange(1 - predictor.lookback_bars, 1, device=values.device)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """(n, columns) with window numbers to (n, columns) with embeddings; 0 where there is no window."""
        numbers = observations[:, self._columns].long()
        # Where there is no window, any will do.
        ends = (numbers - 1).clamp(min=len(self._offsets) - 1)
        windows = self._values[ends[..., None] + self._offsets]
        # TRPO differentiates twice, which fused attention does not support.
        with sdpa_kernel(SDPBackend.MATH):
            hidden = self.network.hidden(windows.flatten(0, 1))[:, 0]
        embedding = ((hidden - self.center) @ self.weights).unflatten(0, numbers.shape)
        embedding = torch.where(numbers[..., None] > 0, embedding, 0.0)
        parts, begin = [], 0
        for place, column in enumerate(self._columns):
            parts += [observations[:, begin:column], embedding[:, place]]
            begin = column + 1
        return torch.cat([*parts, observations[:, begin:]], dim=1)

    def train(self, mode: bool = True) -> Self:
        """Dropout and batch normalisation are always as in evaluation: on-policy algorithms compare the probabilities
        of two passes, and what decides later has no dropout either."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.Dropout | nn.BatchNorm1d):
                module.eval()
        return self

    def apply(self, fn: Callable[[nn.Module], None]) -> Self:
        """Nothing: stable-baselines3 would initialise the trained weights anew."""
        return self


def extractor_arguments(pretrained: Pretrained, environments: Any, device: str) -> dict[str, Any]:
    """Keyword arguments of the policy, by which each of its networks begins with the pretrained one.

    Args:
        environments: with `columns`, the names of an observation's columns.
    """
    predictor, windows = pretrained.predictor, pretrained.windows
    values = torch.from_numpy(windows.scaled(predictor.scales.scaler)).to(get_device(device))
    columns = tuple(place for place, name in enumerate(environments.columns) if is_window(name))
    return {
        "features_extractor_class": WindowExtractor,
        "features_extractor_kwargs": {"predictor": predictor, "values": values, "columns": columns},
    }


def tuned_weights(learner: Any) -> dict[str, np.ndarray]:
    """See `Algorithm.tuned_weights`."""
    policy = learner.policy
    acting = next((getattr(policy, name) for name in ACTING if hasattr(policy, name)), policy)
    extractor = acting.features_extractor
    if not isinstance(extractor, WindowExtractor):
        return {}
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in extractor.state_dict().items()}
