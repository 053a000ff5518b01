"""Predictors make their choices inside the training span: no later answer reaches a model or an out-of-fold signal."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from MLOps.artifacts import content_hash
from MLOps.config.labels import CLASSES, UNKNOWN, NextReturnLabelConfig
from MLOps.config.predictors import parse_predictor
from MLOps.config.splits import SplitConfig
from MLOps.data.splits import Splits, split
from MLOps.features.labels import make_labels
from MLOps.predictors.kinds import predictor_class
from MLOps.predictors.learning import learning_data
from MLOps.predictors.signals import train_with_signals
from tests.predictors.markets import BASELINES, FEATURES, NETWORKS, THRESHOLD

SPLITS = SplitConfig(train=0.7, validation=0.15, test=0.15, embargo_bars=5, folds=2)
KINDS = {
    "logistic": BASELINES["logistic"],
    "gradient_boosting": BASELINES["gradient_boosting"],
    "lstm": {**NETWORKS["lstm"], "hidden_size": 4, "batch_size": 64, "max_epochs": 4, "patience_epochs": 2},
}


def tables(symbols: int = 2, bars: int = 400) -> tuple[pd.DataFrame, pd.DataFrame, Splits]:
    """Features that show a part of the next return, labels and splits."""
    generator = np.random.default_rng(4)
    stamps = pd.bdate_range("2020-01-01", periods=bars, tz="UTC").astype("datetime64[us, UTC]")
    parts = []
    for symbol in range(symbols):
        returns = generator.normal(0, 0.01, bars)
        shown = np.roll(returns, -1) / 0.01 + generator.normal(0, 1, bars)
        close = 100 * np.exp(np.cumsum(returns))
        parts.append(pd.DataFrame({"timestamp": stamps, "symbol": f"S{symbol}", "close": close, "volume": shown}))
    table = pd.concat(parts, ignore_index=True)
    features = table.assign(return_1=np.log(table["close"]).groupby(table["symbol"]).diff().fillna(0.0))
    features[list(FEATURES)] = features[list(FEATURES)].astype(np.float32)
    labels = make_labels(table, NextReturnLabelConfig(kind="next_return", threshold_delta=THRESHOLD))
    return features[["timestamp", "symbol", *FEATURES]], labels, split(table["timestamp"], SPLITS)


def trained(
    values: dict[str, Any], features: pd.DataFrame, labels: pd.DataFrame, splits: Splits, folder: Path
) -> tuple[str, pd.DataFrame]:
    """The content hash of the trained predictor, and the signals of its training span."""
    config = parse_predictor(values, "test")
    data = learning_data(config.lookback_bars, features, labels, CLASSES, FEATURES, splits)
    predictor, signals = train_with_signals(
        predictor_class(config.kind), config, data, SPLITS, 7, lambda *_: None, folder / "checkpoints"
    )
    predictor.save(folder / "model")
    return content_hash(folder / "model"), signals[splits.train.rows(signals["timestamp"])].reset_index(drop=True)


@pytest.mark.parametrize("kind", KINDS)
def test_no_answer_after_the_training_span_changes_a_predictor_or_its_signals(kind: str, tmp_path: Path) -> None:
    features, labels, splits = tables()
    later = (labels["timestamp"] >= splits.validation.start) & (labels["label"] != UNKNOWN)
    spoilt = labels.copy()
    spoilt.loc[later, "label"] = (2 - labels.loc[later, "label"]).astype(np.int8)
    spoilt.loc[later, "forward_return"] = -labels.loc[later, "forward_return"]
    model, signals = trained(KINDS[kind], features, labels, splits, tmp_path / "one")
    again, other = trained(KINDS[kind], features, spoilt, splits, tmp_path / "other")
    assert model == again
    pd.testing.assert_frame_equal(signals, other)


@pytest.mark.parametrize("kind", KINDS)
def test_the_finished_model_has_learnt_from_the_selection_rows(kind: str, tmp_path: Path) -> None:
    """With other answers in the last bars of the training span the weights differ where nothing can be chosen."""
    features, labels, splits = tables()
    selection = splits.selection.rows(labels["timestamp"]) & (labels["label"] != UNKNOWN).to_numpy()
    spoilt = labels.copy()
    # The same answers in another order: no share of a class changes.
    order = np.random.default_rng(0).permutation(selection.sum())
    for column in ("label", "forward_return"):
        spoilt.loc[selection, column] = labels.loc[selection, column].to_numpy()[order]
    values = {**KINDS[kind], **({"max_epochs": 1} if kind == "lstm" else {})}
    values |= {"max_iter": 1} if kind == "gradient_boosting" else {}
    # One epoch and one round leave nothing to choose, so that only learning can make the difference.
    assert (
        trained(values, features, labels, splits, tmp_path / "one")[0]
        != (trained(values, features, spoilt, splits, tmp_path / "other")[0])
    )
