"""LSTM (Hochreiter & Schmidhuber, 1997): the last hidden state of a stacked LSTM, and a linear head over classes."""

import torch
from torch import nn

from MLOps.config.params import LSTMConfig


class LSTM(nn.Module):
    """Maps scaled windows (batch, bars, features) to class logits (batch, classes)."""

    def __init__(self, features: int, classes: int, config: LSTMConfig) -> None:
        super().__init__()
        # torch applies dropout between layers only, and warns when there is one layer.
        between = config.dropout if config.layers > 1 else 0.0
        self.lstm = nn.LSTM(features, config.hidden_size, config.layers, dropout=between, batch_first=True)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.hidden_size, classes)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        hidden, _ = self.lstm(windows)
        return self.head(self.dropout(hidden[:, -1]))
