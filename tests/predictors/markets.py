"""Small markets to learn from, and small configurations to learn with."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from MLOps.config.data import SyntheticConfig
from MLOps.config.params import load_params
from MLOps.config.predictors import parse_predictor
from MLOps.data.sources.synthetic import best_probabilities, make_synthetic
from MLOps.data.splits import Span, Splits
from MLOps.predictors.contract import Predictor
from MLOps.predictors.kinds import predictor_class
from MLOps.predictors.learning import LearningData, Targets
from MLOps.predictors.windows import Windows
from tests.project import ROOT

FEATURES = ("return_1", "volume")
THRESHOLD = 0.005

TRAINING: dict[str, Any] = {
    "lookback_bars": 8,
    "dropout": 0.1,
    "learning_rate": 0.01,
    "weight_decay": 0.001,
    "batch_size": 256,
    "max_epochs": 12,
    "patience_epochs": 4,
    "gradient_clip": 1.0,
    "device": "cpu",
}
NETWORKS: dict[str, dict[str, Any]] = {
    "lstm": {"kind": "lstm", "hidden_size": 12, "layers": 1, **TRAINING},
    "lstm_sequence": {
        "kind": "lstm", "hidden_size": 12, "layers": 1, "mode": "sequence", "sequence_bars": 64, **TRAINING,
    },
    "gru": {"kind": "gru", "hidden_size": 12, "layers": 1, **TRAINING},
    "bilstm": {"kind": "bilstm", "hidden_size": 8, "layers": 1, **TRAINING},
    "dlstm": {"kind": "dlstm", "hidden_size": 8, "layers": 1, "trend_bars": 3, **TRAINING},
    "cnn_lstm": {"kind": "cnn_lstm", "filters": [8, 8], "kernels": [3, 3], "hidden_size": 8, "heads": 2, **TRAINING},
    "hybrid": {
        "kind": "hybrid", "filters": [4, 4, 4, 4], "kernels": [3, 5, 7, 11], "hidden_size": 8, "heads": 2, **TRAINING,
    },
}  # fmt: skip
BASELINES: dict[str, dict[str, Any]] = {
    "class_prior": {"kind": "class_prior"},
    "persistence": {"kind": "persistence", "feature": "return_1"},
    "logistic": {"kind": "logistic", "lookback_bars": 3, "l2_penalty": 1.0},
    "ridge": {"kind": "ridge", "lookback_bars": 3, "l2_penalty": 1.0},
    "gradient_boosting": {
        "kind": "gradient_boosting", "lookback_bars": 3, "max_iter": 12, "learning_rate": 0.2, "max_leaf_nodes": 8,
        "min_samples_leaf": 20, "l2_penalty": 0.0,
    },
}  # fmt: skip


@dataclass(frozen=True)
class SmallMarket:
    """Features, targets and two spans' rows of a synthetic market; `best` are the best probabilities (rows, 3)."""

    features: pd.DataFrame
    targets: Targets
    train: np.ndarray
    validation: np.ndarray
    best: np.ndarray

    def rows(self, span: str, windows: Windows) -> np.ndarray:
        return np.flatnonzero(getattr(self, span) & windows.whole)

    def data(self, lookback_bars: int) -> LearningData:
        """Learning from the rows of `train`, choosing on those of `validation`."""
        windows = Windows(self.features, FEATURES, lookback_bars)
        train = self.rows("train", windows)
        times = self.features["timestamp"]
        after = pd.Timedelta(microseconds=1)
        learnt, judged = (Span(times[rows].min(), times[rows].max() + after) for rows in (self.train, self.validation))
        labels = self.features[["timestamp", "symbol"]].assign(
            label=self.targets.labels,
            forward_return=self.targets.returns,
            label_end=times.groupby(self.features["symbol"]).shift(-1),
        )
        return LearningData(
            windows=windows,
            targets=self.targets,
            train=train,
            fitting=train,
            selection=self.rows("validation", windows),
            labels=labels,
            class_names=tuple(f"class_{number}" for number in range(self.targets.n_classes)),
            splits=Splits(train=learnt, fitting=learnt, selection=judged, validation=judged, test=judged),
        )


def small_market(edge_bps: float, seed: int = 3, symbols: int = 4, bars: int = 1500) -> SmallMarket:
    market = SyntheticConfig(symbols=symbols, bars=bars, volatility_bps=100.0, edge_bps=edge_bps, regime_bars=20)
    data = replace(load_params(ROOT / "params.yaml").data, source="synthetic", synthetic=market)
    table = make_synthetic(data, seed)
    by_symbol = table.groupby("symbol", sort=False)
    forward = (by_symbol["close"].shift(-1) / table["close"] - 1).to_numpy()
    features = table[["timestamp", "symbol"]].assign(
        return_1=(np.log(table["close"] / by_symbol["close"].shift())).astype(np.float32),
        volume=np.log(table["volume"]).astype(np.float32),
    )
    features.loc[features["return_1"].isna(), list(FEATURES)] = np.nan
    place = by_symbol.cumcount().to_numpy()
    targets = Targets(
        np.where(np.isnan(forward), -1, np.digitize(forward, [-THRESHOLD, THRESHOLD])),
        forward,
        table["timestamp"].to_numpy("datetime64[us]").astype(np.int64),
        3,
    )
    cut = int(0.7 * bars)
    return SmallMarket(
        features,
        targets,
        place < cut,
        (place >= cut + 5) & ~np.isnan(forward),
        best_probabilities(table, market, THRESHOLD),
    )


def with_classes(market: SmallMarket, n_classes: int) -> SmallMarket:
    """The same market, its returns cut into so many classes of about equal frequency; `best` keeps its three."""
    returns = market.targets.returns
    cuts = np.nanquantile(returns, np.arange(1, n_classes) / n_classes)
    classes = np.where(np.isnan(returns), -1, np.digitize(returns, cuts))
    return replace(market, targets=Targets(classes, returns, market.targets.timestamps, n_classes))


def fit(values: dict[str, Any], market: SmallMarket, folder: Path, seed: int = 7, **changes: Any) -> Predictor:
    """The predictor of that configuration, trained on one thread, which is as quick here and never waits."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    config = parse_predictor({**values, **changes}, "test")
    data = market.data(config.lookback_bars)
    return predictor_class(config.kind).fit(config, data, seed, lambda epoch, metrics: None, folder)
