"""Convergence verdicts on histories whose state is known, and the losses that they are compared with."""

import numpy as np
import pandas as pd
import pytest

from MLOps.config.labels import SmoothedLabelConfig
from MLOps.config.predictors import LogisticConfig
from MLOps.data.splits import split
from MLOps.evaluation.convergence import constant_losses, convergence, fold_losses
from MLOps.features.labels import make_labels
from MLOps.predictors.signals import FULL_MODEL
from tests.evaluation.markets import SPLITS, random_walk

CONSTANT = 1.1


def history(train: list[float], selection: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"train_loss": train, "selection_loss": selection})


@pytest.mark.parametrize(
    ("train", "selection", "state", "word"),
    [
        ([1.10, 1.00, 0.95, 0.90, 0.85], [1.09, 1.02, 1.01, 1.03, 1.05], "converged", "epoch 3 of 5"),
        ([1.00], [1.02], "converged", "solved at once"),
        # Of 0.3 gained in training nothing is left.
        ([1.00, 0.80, 0.60], [1.12, 1.11, 1.13], "overfit", "-0.0100 on the selection rows"),
        ([0.50], [1.20], "overfit", "selection"),
        ([1.10, 1.10, 1.10], [1.10, 1.09, 1.10], "underfit", "constant forecast"),
        ([1.09, 1.05, 1.00], [1.09, 1.06, 1.02], "underfit", "still fell"),
        ([1.09, 1.05, 1.60], [1.09, 1.06, 1.70], "diverged", "went from 1.0900 to 1.6000"),
        ([1.09, float("nan")], [1.09, 1.02], "diverged", "learning_rate"),
        ([1.09, 1.0], [1.09, float("inf")], "diverged", "learning_rate"),
    ],
)
def test_the_state_of_a_training(train: list[float], selection: list[float], state: str, word: str) -> None:
    found = convergence(history(train, selection), CONSTANT, CONSTANT)
    assert found.state == state
    assert word in found.reason


def test_constant_losses_are_those_of_the_best_constant_forecast() -> None:
    bars = random_walk(2, 600, seed=1)
    labels = make_labels(bars, SmoothedLabelConfig(kind="smoothed", smoothing_k=3, threshold_delta=0.01))
    splits = split(bars["timestamp"], SPLITS)
    config = LogisticConfig(kind="logistic", lookback_bars=3, l2_penalty=1.0)
    train, selection = constant_losses(labels, splits, config)
    own = labels.loc[splits.fitting.labelled(labels), "label"]
    shares = own.value_counts(normalize=True)
    assert train == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-3), "the prior is smoothed"
    later = labels.loc[splits.selection.labelled(labels), "label"]
    assert selection == pytest.approx(-np.log(later.map(shares)).mean(), rel=5e-3)

    class Joint:
        class_loss_weight = 0.5
        return_loss_weight = 2.0

    both, _ = constant_losses(labels, splits, Joint())
    assert both == pytest.approx(0.5 * train + 2.0), "a scaled return has the variance 1"


def test_folds_hold_out_of_fold_rows_of_the_training_span_alone() -> None:
    bars = random_walk(2, 600, seed=2)
    labels = make_labels(bars, SmoothedLabelConfig(kind="smoothed", smoothing_k=3, threshold_delta=0.01))
    splits = split(bars["timestamp"], SPLITS)
    in_training = splits.train.rows(labels["timestamp"])
    signals = labels[["timestamp", "symbol"]].assign(p_fall=0.2, p_stationary=0.3, p_rise=0.5)
    signals["class"], signals["expected_return"] = 2.0, 0.0
    half = labels["timestamp"] < splits.selection.start
    signals["fold"] = np.where(in_training, np.where(half, 0, 1), FULL_MODEL)
    folds = fold_losses(signals, labels, splits)
    assert [fold["fold"] for fold in folds] == [0, 1]
    known = labels[splits.train.labelled(labels)]
    assert sum(fold["rows"] for fold in folds) == len(known)
    losses = -np.log(known["label"].map({0: 0.2, 1: 0.3, 2: 0.5}))
    assert sum(fold["rows"] * fold["log_loss"] for fold in folds) == pytest.approx(losses.sum())
