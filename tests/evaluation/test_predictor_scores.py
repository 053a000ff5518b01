"""Scores on the test span: the same as those of the span's rows alone, by symbol and year, on unlike data."""

import numpy as np
import pandas as pd
import pytest

from MLOps.config.labels import CLASSES, SmoothedLabelConfig
from MLOps.data.splits import Splits, split
from MLOps.evaluation.forecasts import forecast_metrics, implied_metrics
from MLOps.evaluation.predictor_scores import headline, predictor_scores
from MLOps.evaluation.verdicts import horizon_bars
from MLOps.features.labels import make_labels
from tests.evaluation.markets import SPLITS, ignorant_signals, random_walk, unlike

LABELS = SmoothedLabelConfig(kind="smoothed", smoothing_k=3, threshold_delta=0.01)
KINDS = [
    "hourly, one symbol",
    "five minutes with outages",
    "symbols that trade seldom",
    "thirty symbols, some listed late or ended early",
]


def given(bars: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, Splits]:
    labels = make_labels(bars, LABELS)
    splits = split(bars["timestamp"], SPLITS)
    signals = ignorant_signals(labels, splits, CLASSES, seed=1)
    signals["expected_return"] = np.random.default_rng(2).normal(0, 0.01, len(signals)).astype(np.float32)
    return signals.assign(predictor="one"), labels, splits


@pytest.mark.parametrize("kind", KINDS)
def test_the_scores_are_those_of_the_span_and_its_parts(kind: str) -> None:
    signals, labels, splits = given(unlike(kind, 3))
    scored = predictor_scores(signals, labels, splits, 0.95, 20, 252, seed=0)
    own = scored["predictors"]["one"]
    test = labels[splits.test.labelled(labels)]
    plain = forecast_metrics(signals, test)
    for name in ("f1_macro", "calibration_error", "r2", "rank_ic"):
        assert own["scores"][name]["value"] == pytest.approx(plain[name], abs=1e-9), name
    sharpe = implied_metrics(signals, test, 252)["sharpe"]
    assert own["scores"]["implied_sharpe"]["value"] == pytest.approx(sharpe)
    assert own["rows"] == len(test)
    assert np.sum(own["confusion"]) == len(test)
    for parts in (own["by_symbol"], own["by_year"]):
        assert not parts or sum(part["rows"] for part in parts.values()) == len(test)
    for symbol, part in own["by_symbol"].items():
        alone = forecast_metrics(signals[signals["symbol"] == symbol], test[test["symbol"] == symbol])
        assert part["scores"]["log_loss"]["value"] == pytest.approx(alone["log_loss"])
        assert part["scores"]["accuracy"]["value"] == pytest.approx(alone["accuracy"])
    for part in [own, *own["by_symbol"].values(), *own["by_year"].values()]:
        for estimate in part["scores"].values():
            assert estimate["lower"] is None or estimate["lower"] <= estimate["upper"]
    assert scored["horizon_bars"] == horizon_bars(labels, splits.test)


def test_what_lies_before_the_test_span_does_not_count() -> None:
    signals, labels, splits = given(random_walk(3, 500, 4))
    before = labels["timestamp"] < splits.test.start
    other = signals.copy()
    columns = [name for name in signals if name.startswith("p_")]
    other.loc[before.to_numpy(), columns] = other.loc[before.to_numpy(), columns].to_numpy()[:, ::-1]
    first, second = (predictor_scores(table, labels, splits, 0.95, 20, 252, seed=0) for table in (signals, other))
    assert first == second


def test_a_table_without_times_has_no_years_and_no_sharpe_ratio() -> None:
    signals, labels, splits = given(random_walk(1, 600, 5))
    own = predictor_scores(signals, labels, splits, 0.95, 100, None, seed=0)["predictors"]["one"]
    assert own["by_year"] == {} and own["by_symbol"] == {}
    assert "implied_sharpe" not in own["scores"]


def test_the_headline_is_flat_and_holds_the_intervals() -> None:
    signals, labels, splits = given(random_walk(2, 1000, 6))
    scored = predictor_scores(signals, labels, splits, 0.95, 20, 252, seed=0)
    flat = headline(scored)
    estimate = scored["predictors"]["one"]["scores"]["rank_ic"]
    assert flat["one_rank_ic"] == estimate["value"]
    assert flat["one_rank_ic_lower"] == estimate["lower"]
    assert all(np.isfinite(value) for value in flat.values())
