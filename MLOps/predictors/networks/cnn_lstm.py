"""CNN + LSTM: convolutions, a bidirectional LSTM and self-attention in sequence."""

import torch
from torch import nn

from MLOps.config.predictors import CNNLSTMConfig
from MLOps.predictors.networks.layers import Attention, BiLSTM, Heads, Network


class CNNLSTM(Network):
    """Convolutions with batch norm, BiLSTM, self-attention, mean over bars."""

    def __init__(self, features: int, classes: int, config: CNNLSTMConfig) -> None:
        super().__init__()
        widths = [features, *config.filters]
        self.convolutions = nn.ModuleList(
            nn.Sequential(nn.Conv1d(before, after, kernel, padding="same"), nn.BatchNorm1d(after), nn.ReLU())
            for before, after, kernel in zip(widths[:-1], config.filters, config.kernels, strict=True)
        )
        self.recurrent = BiLSTM(widths[-1], config.hidden_size)
        self.attention = Attention(2 * config.hidden_size, config.heads, config.dropout)
        self.dropout = nn.Dropout(config.dropout)
        self.heads = Heads(2 * config.hidden_size, classes, config)

    def hidden(self, windows: torch.Tensor) -> torch.Tensor:
        channels = windows.transpose(1, 2)
        for convolution in self.convolutions:
            channels = convolution(channels)
        hidden = self.recurrent(channels.transpose(1, 2))
        pooled: torch.Tensor = self.dropout(self.attention(hidden, hidden).mean(dim=1, keepdim=True))
        return pooled
