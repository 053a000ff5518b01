"""DLSTM: trend and remainder of the window (split as in DLinear; Zeng et al., 2023), each with its own LSTM."""

import torch
from torch import nn
from torch.nn.functional import avg_pool1d, pad

from MLOps.config.predictors import DLSTMConfig
from MLOps.predictors.networks.layers import Heads, Network, Recurrent


class DLSTM(Network):
    """A unidirectional network."""

    def __init__(self, features: int, classes: int, config: DLSTMConfig) -> None:
        super().__init__()
        self.trend_bars = config.trend_bars
        self.trend = Recurrent(nn.LSTM, features, config.hidden_size, config.layers, config.dropout)
        self.remainder = Recurrent(nn.LSTM, features, config.hidden_size, config.layers, config.dropout)
        self.heads = Heads(2 * config.hidden_size, classes, config)

    def hidden(self, windows: torch.Tensor, last_bars: int = 1) -> torch.Tensor:
        # A trailing moving average; DLinear's centred one would include later bars.
        padded = pad(windows.transpose(1, 2), (self.trend_bars - 1, 0), mode="replicate")
        trend = avg_pool1d(padded, self.trend_bars, stride=1).transpose(1, 2)
        return torch.cat([self.trend(trend), self.remainder(windows - trend)], dim=-1)[:, -last_bars:]
