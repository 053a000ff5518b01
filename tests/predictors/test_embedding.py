"""Embeddings: whitened components, in one basis for all folds, out of fold, causal, and the same when served."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from MLOps.config.predictors import parse_predictor
from MLOps.config.splits import SplitConfig
from MLOps.data.splits import split
from MLOps.errors import UserError
from MLOps.features.causality import draw_cutoffs, find_leaks
from MLOps.predictors.contract import forecast
from MLOps.predictors.embedding import Embedding
from MLOps.predictors.kinds import load_predictor
from MLOps.predictors.learning import LearningData, learning_data
from MLOps.predictors.network import NetworkPredictor
from MLOps.predictors.signals import FULL_MODEL, forecast_of, signal_table, train_with_signals
from MLOps.predictors.windows import Windows
from tests.predictors.markets import NETWORKS, fit, small_market

SIZE = 3
CLASSES = ("down", "up")
SPLITS = SplitConfig(train=0.7, validation=0.15, test=0.15, embargo_bars=2, folds=4)
GENERATOR_COLUMNS = ("a", "b", "c", "d")


def correlated(generator: np.random.Generator, rows: int, width: int) -> np.ndarray:
    return generator.normal(3, 1, (rows, width)) @ generator.normal(0, 1, (width, width))


def test_it_is_a_whitened_principal_component_analysis() -> None:
    hidden = correlated(np.random.default_rng(0), 500, 6)
    ours, theirs = Embedding.fit(hidden, SIZE).of(hidden), PCA(SIZE, whiten=True).fit(hidden)
    expected = theirs.transform(hidden) * np.sqrt(500 / 499)  # scikit-learn divides by n - 1
    signs = np.sign((ours * expected).sum(axis=0))
    np.testing.assert_allclose(ours, expected * signs, atol=1e-9)
    np.testing.assert_allclose(ours.T @ ours / 500, np.eye(SIZE), atol=1e-9)


def test_units_that_do_not_vary_give_zeros() -> None:
    hidden = np.random.default_rng(0).normal(0, 1, (200, 1)) * np.array([[1.0, 2.0, 0.0, 0.0]]) + 5
    embedding = Embedding.fit(hidden, 4).of(hidden)
    assert embedding[:, 0].std() == pytest.approx(1)
    assert (embedding[:, 1:] == 0).all()


def test_networks_whose_layers_are_linear_maps_of_each_other_get_one_basis() -> None:
    generator = np.random.default_rng(1)
    hidden = correlated(generator, 400, 6)
    other = hidden @ generator.normal(0, 1, (6, 6)) + generator.normal(0, 1, 6)
    wanted = Embedding.fit(hidden, SIZE)
    half = np.arange(400) < 200
    nearest = Embedding.nearest(other[half], wanted.of(hidden[half]))
    # Fitted on half of the rows, on which the wanted columns are only about uncorrelated.
    gap = nearest.of(other[~half]) - wanted.of(hidden[~half])
    assert np.abs(gap).max() < 0.5
    assert np.abs(Embedding.nearest(other, wanted.of(hidden)).of(other) - wanted.of(hidden)).max() < 1e-9


@pytest.mark.parametrize("name", NETWORKS)
def test_an_embedding_served_alone_from_disk_is_bit_equal_to_the_batch(name: str, tmp_path: Path) -> None:
    market = small_market(100.0, symbols=2, bars=300)
    predictor = fit(NETWORKS[name], market, tmp_path, max_epochs=1, embedding_size=SIZE)
    predictor.save(tmp_path / name)
    loaded = load_predictor(tmp_path / name)
    windows = Windows(market.features, ("return_1", "volume"), predictor.lookback_bars)
    rows = market.rows("validation", windows)
    batch = forecast(predictor, windows, rows).embedding
    assert batch is not None
    assert batch.shape == (len(rows), SIZE) and batch.dtype == np.float32 and np.isfinite(batch).all()
    for i in (0, 7, len(rows) - 1):
        alone = loaded.predict(windows.ending_at(rows[i : i + 1])).embedding
        assert alone is not None
        assert np.array_equal(alone[0], batch[i])
    learnt = forecast(predictor, windows, market.rows("train", windows)).embedding
    assert learnt is not None
    np.testing.assert_allclose(learnt.std(axis=0), 1, atol=1e-3)
    # The forecast is that of a network without an embedding.
    plain = fit(NETWORKS[name], market, tmp_path, max_epochs=1)
    assert np.array_equal(
        forecast(plain, windows, rows).probabilities, forecast(predictor, windows, rows).probabilities
    )


def test_more_components_than_units_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="embedding_size: expected at most 12, the width of the last hidden layer"):
        fit(NETWORKS["gru"], small_market(100.0, symbols=2, bars=300), tmp_path, embedding_size=13)


@dataclass(frozen=True)
class Trained:
    data: LearningData
    model: NetworkPredictor
    signals: pd.DataFrame

    def of(self, fold: int | None) -> tuple[np.ndarray, np.ndarray]:
        """The embeddings of a fold, or of all folds, and those of the final model for the same rows."""
        own = self.signals["fold"] == fold if fold is not None else self.signals["fold"] != FULL_MODEL
        table = self.signals[own]
        # One symbol: a row of the feature table a bar.
        rows = self.data.labels["timestamp"].searchsorted(table["timestamp"])
        out_of_fold = forecast_of(table).embedding
        final = forecast(self.model, self.data.windows, rows).embedding
        assert out_of_fold is not None and final is not None
        return out_of_fold, final

    def labels(self) -> np.ndarray:
        table = self.signals[self.signals["fold"] != FULL_MODEL]
        return self.data.targets.labels[self.data.labels["timestamp"].searchsorted(table["timestamp"])]


@cache
def trained(predictable: bool, folder: Path) -> Trained:
    """A network on four noises, of which the first two tell the label, or nothing does."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    generator, bars, lookback_bars = np.random.default_rng(2), *((700, 2) if predictable else (400, 8))
    stamps = pd.date_range("2020-01-01", periods=bars, tz="UTC")
    values = generator.standard_normal((bars, 4)).astype(np.float32)
    score = values[:, 0] * values[:, 1] + values[:, 0] if predictable else generator.standard_normal(bars)
    keys = pd.DataFrame({"timestamp": stamps, "symbol": "A"})
    features = keys.assign(**dict(zip(GENERATOR_COLUMNS, values.T, strict=True)))
    labels = keys.assign(label=(score > 0).astype(np.int8), forward_return=score / 100, label_end=stamps)
    splits = split(keys["timestamp"], SPLITS)
    section = {**NETWORKS["gru"], "lookback_bars": lookback_bars, "hidden_size": 24, "dropout": 0.0}
    section |= {"weight_decay": 0.0, "batch_size": 32, "learning_rate": 0.02, "monitor": "train_loss"}
    section |= dict.fromkeys(("max_epochs", "patience_epochs"), 10 if predictable else 30)
    config = parse_predictor({**section, "embedding_size": SIZE}, "test")
    data = learning_data(lookback_bars, features, labels, CLASSES, GENERATOR_COLUMNS, splits)
    model, signals = train_with_signals(NetworkPredictor, config, data, SPLITS, 0, lambda *_: None, folder)
    assert isinstance(model, NetworkPredictor)
    return Trained(data, model, signals)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


def accuracy(embeddings: np.ndarray, labels: np.ndarray) -> float:
    """Of a classifier that learns from even rows, on odd ones."""
    probe = LogisticRegression().fit(embeddings[::2], labels[::2])
    return float(probe.score(embeddings[1::2], labels[1::2]))


def test_embeddings_of_the_training_span_are_out_of_fold(folder: Path) -> None:
    noise = trained(False, folder)
    out_of_fold, final = noise.of(None)
    # The labels are coin tosses, so what tells them has seen them. The final model's embedding, for contrast, has.
    chance = 0.5 + 2.5 * 0.5 / np.sqrt(len(out_of_fold) / 2)
    assert accuracy(final, noise.labels()) > 0.65 > chance
    assert accuracy(out_of_fold, noise.labels()) < chance


def test_all_folds_have_the_basis_of_the_final_model(folder: Path) -> None:
    learnt = trained(True, folder)
    for fold in range(SPLITS.folds):
        out_of_fold, final = learnt.of(fold)
        agreement = [np.corrcoef(out_of_fold[:, i], final[:, i])[0, 1] for i in range(SIZE)]
        assert agreement[0] > 0.9 and min(agreement) > 0.6, agreement
    # Not so by chance: in a basis of its own another network's embedding differs.
    windows, rows = learnt.data.windows, learnt.data.train
    other = learnt.model.refit(learnt.data, rows, 99, folder)
    own, wanted = forecast(other, windows, rows).embedding, forecast(learnt.model, windows, rows).embedding
    near = forecast(other.aligned(learnt.model, windows, rows), windows, rows).embedding
    assert own is not None and wanted is not None and near is not None
    assert np.square(near - wanted).mean() < 0.5 * np.square(own - wanted).mean()
    later = learnt.signals[learnt.signals["fold"] == FULL_MODEL]
    served = forecast_of(later).embedding
    out_of_fold, _ = learnt.of(None)
    assert served is not None
    # Observations in training are distributed as those after it.
    np.testing.assert_allclose(served.mean(axis=0), out_of_fold.mean(axis=0), atol=0.25)
    np.testing.assert_allclose(served.std(axis=0), out_of_fold.std(axis=0), rtol=0.2)


def test_an_embedding_knows_no_future(folder: Path) -> None:
    learnt = trained(True, folder)
    columns = list(GENERATOR_COLUMNS)

    def embeddings(table: pd.DataFrame) -> pd.DataFrame:
        windows = Windows(table, GENERATOR_COLUMNS, learnt.model.lookback_bars)
        rows = np.flatnonzero(windows.whole)
        return signal_table(table.iloc[rows], learnt.model.predict(windows.ending_at(rows)), CLASSES)

    keys = learnt.data.labels[["timestamp", "symbol"]]
    table = keys.assign(**dict(zip(columns, learnt.data.windows.values.T, strict=True))).tail(100)
    assert "embedding_0" in embeddings(table.reset_index(drop=True)).columns
    assert find_leaks(embeddings, table.reset_index(drop=True), draw_cutoffs(table.iloc[5:], 20)) == []
