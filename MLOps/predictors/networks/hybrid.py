"""Hybrid: parallel convolutions and a bidirectional LSTM over the same window, fused by cross-attention."""

import torch
from torch import nn

from MLOps.config.predictors import HybridConfig
from MLOps.predictors.networks.layers import Attention, BiLSTM, Heads, Network, convolution


class Hybrid(Network):
    """Parallel convolutions with self-attention; a BiLSTM with a skip connection, which attends to the convolutions."""

    def __init__(self, features: int, classes: int, config: HybridConfig) -> None:
        super().__init__()
        width, rate = config.attention_width, config.attention_rate
        self.convolutions = nn.ModuleList(
            convolution(features, filters, kernel, config.convolution_dropout)
            for filters, kernel in zip(config.filters, config.kernels, strict=True)
        )
        self.merge = nn.Linear(sum(config.filters), width)
        self.shapes = Attention(width, config.heads, rate)
        self.recurrent = BiLSTM(features, config.hidden_size, config.recurrent_layers, config.recurrent_dropout)
        self.skip = nn.Linear(features, width)
        self.norm = nn.LayerNorm(width)
        self.fusion = Attention(width, config.heads, rate)
        self.dropout = nn.Dropout(config.dropout)
        self.heads = Heads(width, classes, config)
        self.deeper = nn.ModuleList(Attention(width, config.heads, rate) for _ in range(config.attention_layers - 1))
        read = 2 * config.hidden_size
        self.resize = nn.Identity() if read == width else nn.Linear(read, width)

    def hidden(self, windows: torch.Tensor) -> torch.Tensor:
        channels = windows.transpose(1, 2)
        found = torch.cat([layer(channels) for layer in self.convolutions], dim=1)
        shapes = self.merge(found.transpose(1, 2))
        for attention in (self.shapes, *self.deeper):
            shapes = attention(shapes, shapes)
        order = self.norm(self.resize(self.recurrent(windows)) + self.skip(windows))
        # The newest bar's state plus the mean over the window.
        fused = self.fusion(order, shapes)
        pooled: torch.Tensor = self.dropout(fused[:, -1:] + fused.mean(dim=1, keepdim=True))
        return pooled
