"""LSTM (Hochreiter & Schmidhuber, 1997): the hidden state after each bar, and heads on it."""

import torch
from torch import nn

from MLOps.config.predictors import RecurrentConfig
from MLOps.predictors.networks.layers import Heads, Recurrent


class LSTM(nn.Module):
    """The state runs forward only."""

    def __init__(self, features: int, classes: int, config: RecurrentConfig) -> None:
        super().__init__()
        self.recurrent = Recurrent(nn.LSTM, features, config.hidden_size, config.layers, config.dropout)
        self.heads = Heads(config.hidden_size, classes, config)

    def forward(self, windows: torch.Tensor, last_bars: int = 1) -> torch.Tensor:
        return self.heads(self.recurrent(windows)[:, -last_bars:])
