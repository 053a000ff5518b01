"""CNN + LSTM: convolutions, a bidirectional LSTM and self-attention in sequence."""

import torch
from torch import nn

from MLOps.config.predictors import CNNLSTMConfig
from MLOps.predictors.networks.layers import Attention, BiLSTM, Heads, Network, convolution


class CNNLSTM(Network):
    """Convolutions with batch norm, BiLSTM, self-attention, mean over bars."""

    def __init__(self, features: int, classes: int, config: CNNLSTMConfig) -> None:
        super().__init__()
        widths = [features, *config.filters]
        self.convolutions = nn.ModuleList(
            convolution(before, after, kernel, config.convolution_dropout)
            for before, after, kernel in zip(widths[:-1], config.filters, config.kernels, strict=True)
        )
        self.recurrent = BiLSTM(widths[-1], config.hidden_size, config.recurrent_layers, config.recurrent_dropout)
        width, rate = config.attention_width, config.attention_rate
        self.attention = Attention(width, config.heads, rate)
        self.deeper = nn.ModuleList(Attention(width, config.heads, rate) for _ in range(config.attention_layers - 1))
        self.dropout = nn.Dropout(config.dropout)
        self.heads = Heads(width, classes, config)

    def hidden(self, windows: torch.Tensor) -> torch.Tensor:
        channels = windows.transpose(1, 2)
        for layer in self.convolutions:
            channels = layer(channels)
        hidden = self.recurrent(channels.transpose(1, 2))
        for attention in (self.attention, *self.deeper):
            hidden = attention(hidden, hidden)
        pooled: torch.Tensor = self.dropout(hidden.mean(dim=1, keepdim=True))
        return pooled
