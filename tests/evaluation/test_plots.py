"""Plots of a training: what has no information has no panel, and large steps have labels that do not touch."""

from itertools import pairwise
from pathlib import Path

import matplotlib.image
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from MLOps.evaluation.plots import EPOCH_CURVES, epoch_tables, training_plot

EPOCHS = pd.DataFrame(
    {
        "train_loss": [0.9, 0.8, 0.7],
        "selection_loss": [1.0, 0.9, 0.95],
        "loss_ratio": [1.1, 1.12, 1.36],
        "selection_mae": [0.02, 0.019, np.nan],
        "learning_rate": [0.001] * 3,
    },
    index=pd.RangeIndex(1, 4, name="step"),
)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures, which are kept open."""
    kept: list[Figure] = []
    monkeypatch.setattr(plt, "close", kept.append)
    return kept


def test_a_metric_that_never_changes_has_no_panel(tmp_path: Path, drawn: list[Figure]) -> None:
    training_plot(EPOCHS, tmp_path / "training.png")
    (figure,) = drawn
    titles = [axis.get_title() for axis in figure.axes if axis.axison]
    assert titles == ["loss", "loss ratio", "selection mae"]
    assert matplotlib.image.imread(tmp_path / "training.png").ndim == 3


def test_a_training_of_one_step_has_no_plot(tmp_path: Path) -> None:
    training_plot(EPOCHS.head(1), tmp_path / "training.png")
    assert not list(tmp_path.iterdir())
    assert epoch_tables(EPOCHS.head(1)) == {}


def test_the_curves_to_plot_in_a_browser() -> None:
    curves = epoch_tables(EPOCHS)
    assert set(curves) == set(EPOCH_CURVES) - {"selection_r2"}
    assert curves["selection_mae"]["selection_mae"].tolist() == [0.02, 0.019]
    assert curves["loss_ratio"].index.name == "step"


@pytest.mark.parametrize("last", [10, 400_000])
def test_labels_of_steps_do_not_touch(last: int, tmp_path: Path, drawn: list[Figure]) -> None:
    steps = np.linspace(last // 10, last, 10).round()
    history = pd.DataFrame({name: np.arange(10.0) for name in "abc"}, index=pd.Index(steps, name="step"))
    training_plot(history, tmp_path / "training.png")
    figure = drawn[0]
    figure.canvas.draw()
    for axis in figure.axes:
        low, high = axis.get_xlim()
        shown = [label for label in axis.get_xticklabels() if low <= label.get_position()[0] <= high]
        boxes = [label.get_window_extent() for label in shown]
        assert len(boxes) >= 3
        assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
