"""Markets whose next return only a window of features tells, networks that read it, and small trainings on both."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch

from MLOps.agents.fine_tuning import Pretrained, windows_of
from MLOps.agents.observations import MarketView
from MLOps.config.agents import AgentConfig, ObserveConfig
from MLOps.config.predictors import parse_predictor
from MLOps.config.trading import TradingConfig
from MLOps.predictors.embedding import Embedding
from MLOps.predictors.ensemble import Ensemble
from MLOps.predictors.network import NetworkPredictor, Scales
from MLOps.predictors.training import network_class
from MLOps.predictors.windows import Windows
from MLOps.trading import Market
from tests.agents.trainings import CONFIGS
from tests.predictors.markets import NETWORKS

LOOKBACK_BARS, LAG_BARS = 4, 2
PRIOR = Ensemble(("fall", "rise"), (), (), None, np.full(2, 0.5), 0.0)
OBSERVE = ObserveConfig(features=("newest", "noise"), fine_tuned="gru")


def untrained(windows: Windows, network: str, n_features: int, size: int = 3) -> NetworkPredictor:
    """A network with random weights and an embedding."""
    values = {**NETWORKS[network], "lookback_bars": windows.lookback_bars, "embedding_size": size, "dropout": 0.5}
    config, rows = parse_predictor(values, "test"), np.flatnonzero(windows.whole)
    torch.manual_seed(5)
    # In evaluation, as a trained one.
    layers = network_class(config.kind)(n_features, 3, config).eval()
    scales = Scales(windows.fit_scaler(rows), np.zeros(3), 0.0, 1.0, None)
    inputs = torch.from_numpy(scales.scaler.transform(windows.ending_at(rows)))
    with torch.no_grad():
        hidden = torch.cat([layers.hidden(batch)[:, 0] for batch in inputs.split(500)]).double().numpy()
    return NetworkPredictor(config, layers, scales, Embedding.fit(hidden, size), (0.01,), 32, 0)


@dataclass(frozen=True)
class Windowed:
    """Three symbols, of which B is listed late and C lacks bars.

    The next return has the sign of the feature `newest` LAG_BARS before: a window shows it, the newest bar does not.
    """

    bars: pd.DataFrame
    features: pd.DataFrame

    @classmethod
    def make(cls, seed: int, bars: int) -> "Windowed":
        generator = np.random.default_rng(seed)
        tables = []
        stamps = pd.date_range("2024-01-01", periods=bars, freq="h", tz="UTC")
        for symbol in "ABC":
            newest = generator.standard_normal(bars)
            ahead = 0.01 * np.sign(np.roll(newest, LAG_BARS)) + generator.normal(0, 0.002, bars)
            close = 100 * np.exp(np.concatenate([[0.0], np.cumsum(ahead[:-1])]))
            opened = np.append(close[:1], close[:-1])
            table = pd.DataFrame({"timestamp": stamps, "symbol": symbol, "open": opened, "close": close})
            table = table.assign(high=table[["open", "close"]].max(axis=1), low=table[["open", "close"]].min(axis=1))
            table["newest"], table["noise"] = newest.astype(np.float32), generator.normal(0, 1, bars).astype(np.float32)
            # The warm-up of features.
            table.loc[:1, ["newest", "noise"]] = np.nan
            tables.append(table)
        tables[1] = tables[1].iloc[bars // 3 :]
        tables[2] = tables[2].drop(index=range(bars // 2, bars // 2 + 7))
        whole = pd.concat(tables, ignore_index=True)
        return cls(whole.drop(columns=["newest", "noise"]), whole[["timestamp", "symbol", "newest", "noise"]])

    def signals(self) -> pd.DataFrame:
        return PRIOR.combine(self.features.dropna(), {})

    def view(self, observe: ObserveConfig = OBSERVE) -> MarketView:
        everything = np.ones(len(self.features), bool)
        return MarketView.fit(observe, PRIOR, self.features, self.signals(), everything)

    def pretrained(self, network: str = "gru", size: int = 3) -> Pretrained:
        """What it tells of the window is learnt by the policy's gradient alone."""
        windows = windows_of(self.features, LOOKBACK_BARS)
        return Pretrained(untrained(windows, network, 2, size), windows)

    def market(self, trading: TradingConfig, pretrained: Pretrained | None, view: MarketView | None = None) -> Market:
        windows = None if pretrained is None else pretrained.windows
        return (view or self.view()).market(self.bars, self.features, self.signals(), trading, windows=windows)


@cache
def windowed(seed: int = 0, bars: int = 200) -> Windowed:
    return Windowed.make(seed, bars)


def config_of(kind: str, **changes: Any) -> AgentConfig:
    return replace(CONFIGS[kind], observe=OBSERVE, **changes)
