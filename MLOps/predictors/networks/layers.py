"""Layers shared by several networks."""

from collections.abc import Callable

import torch
from torch import nn

from MLOps.config.predictors import NetworkConfig


class Heads(nn.Module):
    """Linear heads: class logits, then the standardised return, concatenated; each if its loss weight is not 0."""

    def __init__(self, width: int, classes: int, config: NetworkConfig) -> None:
        super().__init__()
        self.classes = nn.Linear(width, classes) if config.class_loss_weight else None
        self.returns = nn.Linear(width, 1) if config.return_loss_weight else None

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return torch.cat([head(hidden) for head in (self.classes, self.returns) if head is not None], dim=-1)


class Network(nn.Module):
    """`hidden` maps windows to the last hidden layer, (batch, 1 or last_bars, width), and `heads` maps that to the
    outputs."""

    heads: Heads
    hidden: Callable[..., torch.Tensor]

    def forward(self, windows: torch.Tensor, *last_bars: int) -> torch.Tensor:
        outputs: torch.Tensor = self.heads(self.hidden(windows, *last_bars))
        return outputs


class Recurrent(nn.Module):
    """Stacked recurrent layers, (batch, bars, features) to (batch, bars, hidden), with dropout after every layer."""

    def __init__(
        self, cell: type[nn.LSTM] | type[nn.GRU], features: int, hidden_size: int, layers: int, dropout: float
    ) -> None:
        super().__init__()
        widths = [features] + [hidden_size] * (layers - 1)
        self.cells = nn.ModuleList(cell(width, hidden_size, batch_first=True) for width in widths)
        # Separate modules, because Monte-Carlo dropout cannot control the dropout built into torch's layers.
        self.dropouts = nn.ModuleList(nn.Dropout(dropout) for _ in widths)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        for cell, dropout in zip(self.cells, self.dropouts, strict=True):
            inputs = dropout(cell(inputs)[0])
        return inputs


class BiLSTM(nn.Module):
    """Stacked bidirectional LSTMs, (batch, bars, features) to (batch, bars, 2 * hidden), with dropout after each."""

    def __init__(self, features: int, hidden_size: int, layers: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, hidden_size, batch_first=True, bidirectional=True)
        self.deeper = nn.ModuleList(
            nn.LSTM(2 * hidden_size, hidden_size, batch_first=True, bidirectional=True) for _ in range(layers - 1)
        )
        self.dropouts = nn.ModuleList(nn.Dropout(dropout) for _ in range(layers)) if dropout else None

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        for number, lstm in enumerate([self.lstm, *self.deeper]):
            inputs = lstm(inputs)[0]
            inputs = inputs if self.dropouts is None else self.dropouts[number](inputs)
        return inputs


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al., 2017) of `queries` over `memory`, both (batch, bars, width); residual."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, queries: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        attended, _ = self.attention(queries, memory, memory, need_weights=False)
        return self.norm(queries + self.dropout(attended))


def convolution(channels: int, filters: int, kernel: int, dropout: float) -> nn.Sequential:
    """A convolution over the bars, with batch norm, (batch, channels, bars) to (batch, filters, bars)."""
    layers = [nn.Conv1d(channels, filters, kernel, padding="same"), nn.BatchNorm1d(filters), nn.ReLU()]
    return nn.Sequential(*layers, nn.Dropout1d(dropout)) if dropout else nn.Sequential(*layers)
