"""Hybrid: parallel convolutions and a bidirectional LSTM over the same window, fused by cross-attention."""

import torch
from torch import nn

from MLOps.config.predictors import HybridConfig
from MLOps.predictors.networks.layers import Attention, BiLSTM, Heads, Network


class Hybrid(Network):
    """Parallel convolutions with self-attention; a BiLSTM with a skip connection, which attends to the convolutions."""

    def __init__(self, features: int, classes: int, config: HybridConfig) -> None:
        super().__init__()
        width = 2 * config.hidden_size
        self.convolutions = nn.ModuleList(
            nn.Sequential(nn.Conv1d(features, filters, kernel, padding="same"), nn.BatchNorm1d(filters), nn.ReLU())
            for filters, kernel in zip(config.filters, config.kernels, strict=True)
        )
        self.merge = nn.Linear(sum(config.filters), width)
        self.shapes = Attention(width, config.heads, config.dropout)
        self.recurrent = BiLSTM(features, config.hidden_size)
        self.skip = nn.Linear(features, width)
        self.norm = nn.LayerNorm(width)
        self.fusion = Attention(width, config.heads, config.dropout)
        self.dropout = nn.Dropout(config.dropout)
        self.heads = Heads(width, classes, config)

    def hidden(self, windows: torch.Tensor) -> torch.Tensor:
        channels = windows.transpose(1, 2)
        found = torch.cat([convolution(channels) for convolution in self.convolutions], dim=1)
        shapes = self.merge(found.transpose(1, 2))
        shapes = self.shapes(shapes, shapes)
        order = self.norm(self.recurrent(windows) + self.skip(windows))
        # The newest bar's state plus the mean over the window.
        fused = self.fusion(order, shapes)
        pooled: torch.Tensor = self.dropout(fused[:, -1:] + fused.mean(dim=1, keepdim=True))
        return pooled
