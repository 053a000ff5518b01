"""Labels: their values by hand, and that none looks beyond its own end."""

import numpy as np
import pandas as pd
import pytest

from MLOps.config.labels import (
    CLASSES,
    UNKNOWN,
    LabelConfig,
    NextReturnLabelConfig,
    ScoreLabelConfig,
    SmoothedLabelConfig,
    TripleBarrierLabelConfig,
    class_names,
)
from MLOps.config.splits import SplitConfig
from MLOps.data.splits import purged_folds, split
from MLOps.features.causality import draw_cutoffs, find_leaks
from MLOps.features.labels import make_labels, unbalanced
from tests.data import markets

KINDS: dict[str, LabelConfig] = {
    "smoothed": SmoothedLabelConfig(kind="smoothed", smoothing_k=5, threshold_delta=0.01),
    "next_return": NextReturnLabelConfig(kind="next_return", threshold_delta=0.005),
    "score": ScoreLabelConfig(kind="score", horizon_bars=10, n_classes=5, volatility_bars=20),
    "triple_barrier": TripleBarrierLabelConfig(
        kind="triple_barrier", horizon_bars=10, volatility_bars=20, upper_volatilities=1.0, lower_volatilities=0.7
    ),
}


def bars_of(closes: list[float]) -> pd.DataFrame:
    stamps = pd.date_range("2024-01-01", periods=len(closes), tz="UTC").astype("datetime64[us, UTC]")
    return pd.DataFrame({"timestamp": stamps, "symbol": "A", "close": closes})


def test_smoothed_by_hand() -> None:
    config = SmoothedLabelConfig(kind="smoothed", smoothing_k=2, threshold_delta=0.01)
    labels = make_labels(bars_of([100, 100, 104, 100, 90, 100]), config)
    assert labels["label"].tolist() == [2, 2, 0, 0, UNKNOWN, UNKNOWN]
    assert labels["past_label"].tolist() == [UNKNOWN, UNKNOWN, 2, 2, 0, 0]
    assert labels["label_end"].tolist()[:4] == labels["timestamp"].tolist()[2:]
    assert labels["label_end"].isna().tolist() == [False] * 4 + [True] * 2
    assert labels["forward_return"].iloc[1] == pytest.approx(0.04)


def test_next_return_by_hand() -> None:
    labels = make_labels(bars_of([100, 102, 102, 99]), NextReturnLabelConfig(kind="next_return", threshold_delta=0.01))
    assert labels["label"].tolist() == [2, 1, 0, UNKNOWN]
    assert labels["label_end"].tolist()[:3] == labels["timestamp"].tolist()[1:]


def test_triple_barrier_by_hand() -> None:
    # Two returns of ±1 % have a standard deviation of 1.41 %; over two bars that reaches 2 %.
    config = TripleBarrierLabelConfig(
        kind="triple_barrier", horizon_bars=2, volatility_bars=2, upper_volatilities=1.0, lower_volatilities=1.0
    )
    closes = 100 * np.exp(np.cumsum([0, 0.01, -0.01, 0.03, 0.0, -0.04, 0.001]))
    labels = make_labels(bars_of(closes.tolist()), config)
    ends = labels["timestamp"].tolist()
    # Bar 2 is touched at once; bar 3 (σ 2.8 %, reach 4 %) at its second bar; bar 5's horizon is not over.
    assert labels["label"].tolist() == [UNKNOWN, UNKNOWN, 2, 0, 0, UNKNOWN, UNKNOWN]
    assert labels["label_end"].tolist()[2:5] == [ends[3], ends[5], ends[5]]
    assert labels["past_label"].tolist() == [UNKNOWN, UNKNOWN, UNKNOWN, 2, 2, 0, 0]


def test_scores_are_ordered_and_about_equally_frequent() -> None:
    closes = np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.01, 4000)))
    labels = make_labels(bars_of(closes.tolist()), KINDS["score"])
    known = labels[labels["label"] != UNKNOWN]
    assert known["label"].value_counts(normalize=True).between(0.15, 0.26).all()
    ahead = pd.Series(closes).shift(-10) / closes
    assert ahead[known.index].groupby(known["label"]).mean().is_monotonic_increasing
    assert class_names(KINDS["score"]) == ("score_-1", "score_-0.5", "score_0", "score_0.5", "score_1")


@pytest.mark.parametrize("cutoffs", [50, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_no_label_looks_beyond_its_end(kind: str, cutoffs: int, early: pd.DataFrame) -> None:
    def labels(bars: pd.DataFrame) -> pd.DataFrame:
        return make_labels(bars, KINDS[kind])

    bars = early[early["symbol"] != "IBM"].groupby("symbol").head(230).reset_index(drop=True)
    assert find_leaks(labels, bars, draw_cutoffs(bars, cutoffs), known_at="label_end") == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_class_known_at_a_bar_is_causal(kind: str, early: pd.DataFrame) -> None:
    def past(bars: pd.DataFrame) -> pd.DataFrame:
        return make_labels(bars, KINDS[kind])[["timestamp", "symbol", "past_label"]]

    assert find_leaks(past, early, draw_cutoffs(early, 50), corruptions=["nan"]) == []


@pytest.mark.parametrize("kind", KINDS)
def test_splits_and_folds_purge_by_the_interval_of_each_label(kind: str, early: pd.DataFrame) -> None:
    config = SplitConfig(train=0.7, validation=0.15, test=0.15, embargo_bars=5, folds=5)
    labels = make_labels(early, KINDS[kind])
    labels = labels[labels["label"] != UNKNOWN].reset_index(drop=True)
    start, end = labels["timestamp"], labels["label_end"]
    splits = split(labels["timestamp"], config)
    train, validation, test = (span.labelled(labels) for span in (splits.train, splits.validation, splits.test))
    assert end[train].max() < start[validation].min()
    assert end[validation].max() < start[test].min()
    fitting, selection = (span.labelled(labels) for span in (splits.fitting, splits.selection))
    assert end[fitting].max() < start[selection].min()
    assert end[selection].max() < start[validation].min()
    assert (train[fitting | selection]).all()
    for learn, held_out in purged_folds(start, end, config):
        first, last = start[held_out].min(), end[held_out].max()
        overlaps = (start[learn] <= last) & (end[learn] >= first)
        assert not overlaps.any()
        # Nothing is purged that could have been kept: a row that is left out overlaps, or lies in the embargo.
        rest = np.setdiff1d(np.arange(len(labels)), np.concatenate([learn, held_out]))
        resume = np.unique(start)[np.unique(start) > last][: config.embargo_bars]
        embargoed = start[rest].isin(resume)
        assert (((start[rest] <= last) & (end[rest] >= first)) | embargoed).all()


@pytest.mark.parametrize(("make", "warned"), [(markets.five_minutes_with_outages, True), (markets.daily_stocks, False)])
def test_a_threshold_that_leaves_one_class_is_warned_of(make: markets.Market, warned: bool) -> None:
    """One percent in five closes is usual for daily bars, and rare for bars of five minutes."""
    labels = make_labels(make(0), SmoothedLabelConfig(kind="smoothed", smoothing_k=5, threshold_delta=0.01))["label"]
    warning = unbalanced(labels[labels != UNKNOWN], CLASSES)
    assert (warning is not None) == warned
    if warning:
        assert "training rows are stationary" in warning and "labels.kind to score" in warning
    scores = make_labels(make(0), ScoreLabelConfig(kind="score", horizon_bars=5, n_classes=3, volatility_bars=20))[
        "label"
    ]
    assert unbalanced(scores[scores != UNKNOWN], CLASSES) is None
