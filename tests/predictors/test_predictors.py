"""The contract that every kind keeps, and what single kinds promise."""

import copy
import itertools
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from MLOps.artifacts import content_hash
from MLOps.config.labels import CLASSES
from MLOps.data.splits import Span, Splits
from MLOps.errors import UserError
from MLOps.predictors import PREDICTORS
from MLOps.predictors.baselines import class_prior
from MLOps.predictors.closed_form import ClosedFormPredictor, flattened
from MLOps.predictors.contract import Predictor, forecast
from MLOps.predictors.ensemble import ENSEMBLE, Ensemble
from MLOps.predictors.kinds import load_predictor
from MLOps.predictors.learning import learning_data
from MLOps.predictors.signals import probability_columns, signal_table
from MLOps.predictors.windows import Windows
from MLOps.statistics.forecasts import log_losses
from tests.predictors.markets import BASELINES, FEATURES, NETWORKS, SmallMarket, fit, small_market, with_classes

QUICK = {"max_epochs": 1}
EVERY: dict[str, dict[str, Any]] = {
    **BASELINES,
    **{name: {**values, **QUICK} for name, values in NETWORKS.items()},
    "dlstm_both": {**NETWORKS["dlstm"], **QUICK, "class_loss_weight": 0.6, "return_loss_weight": 0.4},
    "gru_return": {**NETWORKS["gru"], **QUICK, "class_loss_weight": 0.0, "return_loss_weight": 1.0},
    "hybrid_sampled": {**NETWORKS["hybrid"], **QUICK, "uncertainty_samples": 5},
    "lstm_sampled": {**NETWORKS["lstm"], **QUICK, "layers": 2, "uncertainty_samples": 5},
}


@cache
def market() -> SmallMarket:
    return small_market(100.0, symbols=2, bars=600)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("checkpoints")

    @cache
    def of(name: str) -> Predictor:
        return fit(EVERY[name], market(), folder / name)

    return of


def validation(predictor: Predictor) -> tuple[Windows, np.ndarray]:
    windows = Windows(market().features, FEATURES, predictor.lookback_bars)
    return windows, market().rows("validation", windows)


def test_every_kind_is_tested() -> None:
    assert {values["kind"] for values in EVERY.values()} == set(PREDICTORS)


@pytest.mark.parametrize("name", EVERY)
def test_a_forecast_has_the_right_form(name: str, fitted: Any) -> None:
    windows, rows = validation(fitted(name))
    given = forecast(fitted(name), windows, rows)
    assert given.probabilities.shape == (len(rows), 3)
    assert given.expected_return.shape == given.uncertainty.shape == (len(rows),)
    for part in (given.probabilities, given.expected_return, given.uncertainty):
        assert part.dtype == np.float32 and np.isfinite(part).all()
    np.testing.assert_allclose(given.probabilities.sum(axis=1), 1, atol=1e-6)
    assert (given.probabilities >= 0).all() and (given.uncertainty >= 0).all() and (given.uncertainty <= 1).all()


@pytest.mark.parametrize("name", EVERY)
def test_served_alone_from_disk_is_bit_equal_to_the_batch(name: str, fitted: Any, tmp_path: Path) -> None:
    fitted(name).save(tmp_path / name)
    assert {path.suffix for path in (tmp_path / name).iterdir()} <= {".json", ".safetensors"}
    loaded = load_predictor(tmp_path / name)
    windows, rows = validation(loaded)
    batch = forecast(fitted(name), windows, rows)
    for i in (0, 7, len(rows) - 1):
        alone = loaded.predict(windows.ending_at(rows[i : i + 1]))
        assert np.array_equal(alone.probabilities[0], batch.probabilities[i])
        assert alone.expected_return[0] == batch.expected_return[i]
        assert alone.uncertainty[0] == batch.uncertainty[i]
    loaded.save(tmp_path / "again")
    assert content_hash(tmp_path / "again") == content_hash(tmp_path / name)


@pytest.mark.parametrize("name", EVERY)
def test_a_later_bar_changes_no_forecast(name: str, fitted: Any) -> None:
    windows, rows = validation(fitted(name))
    before = forecast(fitted(name), windows, rows[:60])
    spoilt = market().features.copy()
    spoilt.loc[rows[40] + 1 :, list(FEATURES)] = 1e6
    after = forecast(fitted(name), Windows(spoilt, FEATURES, windows.lookback_bars), rows[:60])
    assert np.array_equal(before.probabilities[:41], after.probabilities[:41])
    assert np.array_equal(before.expected_return[:41], after.expected_return[:41])


@pytest.mark.parametrize("name", ["persistence", "logistic", "ridge", "gradient_boosting"])
def test_baselines_that_read_features_can_learn(name: str, fitted: Any) -> None:
    windows, rows = validation(fitted(name))
    classes = market().targets.labels[rows]
    own = log_losses(forecast(fitted(name), windows, rows).probabilities, classes).mean()
    prior = log_losses(forecast(fitted("class_prior"), windows, rows).probabilities, classes).mean()
    assert own < prior


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("name", EVERY)
def test_any_number_of_classes_is_forecast_and_learnt(name: str, n_classes: int, tmp_path: Path) -> None:
    market_of = with_classes(market(), n_classes)
    predictor = fit(EVERY[name], market_of, tmp_path / "checkpoints")
    windows, rows = validation(predictor)
    data = market_of.data(predictor.lookback_bars)
    again = predictor.refit(data, data.train, 7, tmp_path / "checkpoints")
    again.save(tmp_path / "model")
    given, alone = forecast(predictor, windows, rows), load_predictor(tmp_path / "model")
    assert given.probabilities.shape == (len(rows), n_classes)
    np.testing.assert_allclose(given.probabilities.sum(axis=1), 1, atol=1e-6)
    one = alone.predict(windows.ending_at(rows[:1]))
    np.testing.assert_array_equal(one.probabilities, forecast(again, windows, rows).probabilities[:1])
    if name in ("persistence", "logistic", "ridge", "gradient_boosting"):
        classes = market_of.targets.labels[rows]
        prior = class_prior(market_of.targets.labels[market_of.rows("train", windows)], n_classes)
        assert log_losses(given.probabilities, classes).mean() < -np.log(prior[classes]).mean()


def test_two_classes_are_forecast_as_scikit_learn_does(tmp_path: Path) -> None:
    two = with_classes(market(), 2)
    for name, fitted in {
        "logistic": LogisticRegression(C=1.0, max_iter=1000),
        "gradient_boosting": HistGradientBoostingClassifier(
            max_iter=1, learning_rate=0.2, max_leaf_nodes=8, min_samples_leaf=20, early_stopping=False, random_state=7
        ),
    }.items():
        changes = {"max_iter": 1} if name == "gradient_boosting" else {}
        own = fit(EVERY[name], two, tmp_path, **changes)
        assert isinstance(own, ClosedFormPredictor)
        windows, rows = validation(own)
        train = two.rows("train", windows)
        model = fitted.fit(flattened(windows.ending_at(train), own.arrays), two.targets.labels[train])
        theirs = model.predict_proba(flattened(windows.ending_at(rows), own.arrays))
        np.testing.assert_allclose(forecast(own, windows, rows).probabilities, theirs, atol=1e-7)


def test_boosted_trees_answer_as_scikit_learn_does(fitted: Any) -> None:
    own = fitted("gradient_boosting")
    windows, rows = validation(own)
    train = market().rows("train", windows)
    values = BASELINES["gradient_boosting"]
    model = HistGradientBoostingClassifier(
        max_iter=own.config.max_iter, learning_rate=values["learning_rate"], max_leaf_nodes=values["max_leaf_nodes"],
        min_samples_leaf=values["min_samples_leaf"], l2_regularization=0.0, early_stopping=False, random_state=7,
    ).fit(flattened(windows.ending_at(train), own.arrays), market().targets.labels[train])  # fmt: skip
    theirs = model.predict_proba(flattened(windows.ending_at(rows), own.arrays))
    np.testing.assert_allclose(forecast(own, windows, rows).probabilities, theirs, atol=1e-7)


def test_thinned_networks_give_an_uncertainty_and_leave_the_forecast_alone(fitted: Any) -> None:
    sampled = fitted("lstm_sampled")
    plain = replace(sampled, config=replace(sampled.config, uncertainty_samples=0))
    windows, rows = validation(sampled)
    own, whole = (forecast(predictor, windows, rows) for predictor in (sampled, plain))
    assert np.array_equal(own.probabilities, whole.probabilities)
    assert own.uncertainty.std() > 0
    assert not np.array_equal(own.uncertainty, whole.uncertainty)
    # With nothing dropped, all networks are one and agree.
    dropless = replace(sampled, network=copy.deepcopy(sampled.network))
    for module in dropless.network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    assert (dropless.predict(windows.ending_at(rows)).uncertainty < 1e-12).all()


def test_persistence_names_a_feature_that_is_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown feature 'return_5'; did you mean 'return_1'"):
        fit({**BASELINES["persistence"], "feature": "return_5"}, market(), tmp_path)


def test_a_class_that_never_occurs_in_training_is_named() -> None:
    features = market().features
    labels = features[["timestamp", "symbol"]].assign(
        label=np.where(market().targets.labels == 2, 1, market().targets.labels),
        forward_return=market().targets.returns,
        label_end=features["timestamp"],
    )
    times = features["timestamp"]
    names = ("fitting", "selection", "validation", "test")
    cuts = [times.iloc[bar] for bar in (0, 300, 400, 500, 599)]
    spans = {name: Span(start, end) for name, (start, end) in zip(names, itertools.pairwise(cuts), strict=True)}
    splits = Splits(train=Span(cuts[0], cuts[2]), **spans)
    with pytest.raises(UserError, match="every class must occur in the training span; rise never does"):
        learning_data(8, features, labels, CLASSES, FEATURES, splits)


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("kind", ["mean", "weighted", "stacking"])
def test_an_ensemble_has_as_many_classes_as_its_members(kind: str, n_classes: int, tmp_path: Path) -> None:
    market_of, names = with_classes(market(), n_classes), ("logistic", "gradient_boosting")
    classes = tuple(f"class_{c}" for c in range(n_classes))
    windows = Windows(market_of.features, FEATURES, 3)
    rows = market_of.rows("validation", windows)
    keys = market_of.features.iloc[rows].reset_index(drop=True)
    labels = keys[["timestamp", "symbol"]].assign(
        label=market_of.targets.labels[rows], forward_return=market_of.targets.returns[rows]
    )
    signals = {
        name: signal_table(
            keys, forecast(fit(EVERY[name], market_of, tmp_path), windows, rows), classes
        ).assign(fold=np.int8(0))
        for name in names
    }  # fmt: skip
    prior = np.full(n_classes, 1 / n_classes)
    ensemble = Ensemble.fit(kind, classes, dict.fromkeys(names, 0.1), signals, labels, prior)
    combined = Ensemble.from_dict(ensemble.to_dict()).combine(labels, signals)
    own = combined.loc[combined["predictor"] == ENSEMBLE]
    probabilities = own[probability_columns(own)].to_numpy(float)
    assert probabilities.shape == (len(rows), n_classes)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert log_losses(probabilities, labels["label"].to_numpy()).mean() < np.log(n_classes)


def tables(fitted: Any, names: list[str]) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Signals of each on the rows of validation, told as if out of fold, and their labels."""
    _, rows = validation(fitted("lstm"))
    keys = market().features.iloc[rows].reset_index(drop=True)
    labels = keys[["timestamp", "symbol"]].assign(
        label=market().targets.labels[rows], forward_return=market().targets.returns[rows]
    )
    signals = {}
    for name in names:
        own = Windows(market().features, FEATURES, fitted(name).lookback_bars)
        signals[name] = signal_table(keys, forecast(fitted(name), own, rows), CLASSES).assign(fold=np.int8(0))
    return signals, labels


@pytest.mark.parametrize("kind", ["mean", "weighted", "stacking"])
def test_an_ensemble_is_a_forecast_that_survives_json(kind: str, fitted: Any) -> None:
    signals, labels = tables(fitted, ["logistic", "lstm", "gradient_boosting"])
    gains = {"logistic": 0.1, "lstm": 0.3, "gradient_boosting": 0.2}
    ensemble = Ensemble.fit(kind, CLASSES, gains, signals, labels, np.full(3, 1 / 3))
    again = Ensemble.from_dict(ensemble.to_dict())
    combined = ensemble.combine(labels, signals)
    pd.testing.assert_frame_equal(combined, again.combine(labels, signals))
    own = combined[combined["predictor"] == ENSEMBLE]
    np.testing.assert_allclose(own[probability_columns(own)].sum(axis=1), 1, atol=1e-6)
    if kind != "stacking":
        weights = [1 / 3] * 3 if kind == "mean" else [1 / 6, 3 / 6, 2 / 6]
        expected = sum(w * signals[n]["p_rise"].to_numpy(float) for w, n in zip(weights, gains, strict=True))
        np.testing.assert_allclose(own["p_rise"], expected, atol=1e-6)


def test_a_stack_beats_its_worst_member_and_learns_out_of_fold_only(fitted: Any) -> None:
    signals, labels = tables(fitted, ["class_prior", "gradient_boosting"])
    gains = {"class_prior": 0.1, "gradient_boosting": 0.1}
    ensemble = Ensemble.fit("stacking", CLASSES, gains, signals, labels, np.full(3, 1 / 3))
    own = ensemble.combine(labels, signals)
    stacked = own.loc[own["predictor"] == ENSEMBLE, probability_columns(own)].to_numpy(float)
    classes = labels["label"].to_numpy()
    losses = {n: log_losses(t[probability_columns(t)].to_numpy(float), classes).mean() for n, t in signals.items()}
    assert log_losses(stacked, classes).mean() < max(losses.values())
    # Forecasts by the model of the whole training span are marked -1; with false answers beside them nothing changes.
    lured = {name: table.copy() for name, table in signals.items()}
    half = len(labels) // 2
    for name, table in lured.items():
        table.loc[half:, "fold"] = -1
        table.loc[half:, probability_columns(table)] = 1 / 3
        lured[name] = table
    early = {name: table[:half] for name, table in signals.items()}
    honest = Ensemble.fit("stacking", CLASSES, gains, early, labels[:half], np.full(3, 1 / 3))
    other = Ensemble.fit("stacking", CLASSES, gains, lured, labels, np.full(3, 1 / 3))
    assert honest.stack is not None and other.stack is not None
    assert np.array_equal(honest.stack.coefficients, other.stack.coefficients)


def test_without_members_the_prior_speaks() -> None:
    keys = market().features.iloc[:5]
    labels = keys[["timestamp", "symbol"]].assign(label=0, forward_return=0.001)
    ensemble = Ensemble.fit("stacking", CLASSES, {}, {}, labels, np.array([0.2, 0.5, 0.3]))
    own = ensemble.combine(keys, {})
    assert ensemble.forecasters == (ENSEMBLE,)
    np.testing.assert_allclose(own[probability_columns(own)], np.tile([0.2, 0.5, 0.3], (5, 1)), atol=1e-7)
    np.testing.assert_allclose(own["expected_return"], 0.001, rtol=1e-6)
