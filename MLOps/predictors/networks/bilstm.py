"""Bidirectional LSTM (Schuster & Paliwal, 1997) over the window."""

import torch
from torch import nn

from MLOps.config.predictors import BiLSTMConfig
from MLOps.predictors.networks.layers import BiLSTM as Layer
from MLOps.predictors.networks.layers import Heads, Network


class BiLSTM(Network):
    """The heads get the final state of each direction."""

    def __init__(self, features: int, classes: int, config: BiLSTMConfig) -> None:
        super().__init__()
        self.width = config.hidden_size
        widths = [features] + [2 * self.width] * (config.layers - 1)
        self.layers = nn.ModuleList(Layer(width, self.width) for width in widths)
        self.dropouts = nn.ModuleList(nn.Dropout(config.dropout) for _ in widths)
        self.heads = Heads(2 * self.width, classes, config)

    def hidden(self, windows: torch.Tensor) -> torch.Tensor:
        hidden = windows
        for layer, dropout in zip(self.layers, self.dropouts, strict=True):
            hidden = dropout(layer(hidden))
        # The final state of the backward LSTM is at the window's first bar.
        return torch.cat([hidden[:, -1:, : self.width], hidden[:, :1, self.width :]], dim=-1)
