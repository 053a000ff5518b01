"""GRU (Cho et al., 2014): like the LSTM, but without a cell state."""

import torch
from torch import nn

from MLOps.config.predictors import RecurrentConfig
from MLOps.predictors.networks.layers import Heads, Network, Recurrent


class GRU(Network):
    """A unidirectional network."""

    def __init__(self, features: int, classes: int, config: RecurrentConfig) -> None:
        super().__init__()
        self.recurrent = Recurrent(nn.GRU, features, config.hidden_size, config.layers, config.dropout)
        self.heads = Heads(config.hidden_size, classes, config)

    def hidden(self, windows: torch.Tensor, last_bars: int = 1) -> torch.Tensor:
        states: torch.Tensor = self.recurrent(windows)
        return states[:, -last_bars:]
