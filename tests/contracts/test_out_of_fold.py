"""No forecast that an agent trains on was made by a model that saw its answer, or a label overlapping it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import pytest

from MLOps.artifacts import read_json
from MLOps.config.labels import CLASSES, SmoothedLabelConfig
from MLOps.config.splits import SplitConfig
from MLOps.config.walk_forward import WalkForwardConfig
from MLOps.data.sources.sample import bundled_bars
from MLOps.data.splits import Splits
from MLOps.data.walk_forward import windows_of
from MLOps.features.labels import make_labels
from MLOps.predictors.contract import Forecast
from MLOps.predictors.learning import LearningData, learning_data
from MLOps.predictors.signals import FULL_MODEL, train_with_signals
from MLOps.predictors.windows import Windows
from tests.project import Project

CONFIG = SplitConfig(train=0.7, validation=0.15, test=0.15, embargo_bars=5, folds=5)


@dataclass
class Memoriser:
    """Knows nothing but which rows it was shown."""

    rows: np.ndarray
    lookback_bars: int = 1
    is_quick: ClassVar[bool] = True
    asked: ClassVar[list[tuple[np.ndarray, np.ndarray]]] = []
    chose: ClassVar[list[tuple[np.ndarray, np.ndarray]]] = []

    @classmethod
    def fit(cls, config: Any, data: LearningData, *rest: Any) -> "Memoriser":
        Memoriser.chose.append((data.fitting, data.selection))
        return cls(data.fitting)

    def refit(self, data: LearningData, rows: np.ndarray, seed: int, checkpoints: Path) -> "Memoriser":
        return Memoriser(rows)

    def predict(self, windows: np.ndarray) -> Forecast:
        # The one feature is the row's own number.
        Memoriser.asked.append((self.rows, windows[:, -1, 0].astype(int)))
        n = len(windows)
        return Forecast(np.full((n, 3), 1 / 3, np.float32), np.zeros(n, np.float32), np.ones(n, np.float32))

    def aligned(self, to: "Memoriser", windows: Windows, rows: np.ndarray) -> "Memoriser":
        return self

    def explain(self, windows: Windows, rows: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        return {}

    def export(self, folder: Path, windows: np.ndarray) -> dict[str, float]:
        return {}

    def save(self, folder: Path) -> None: ...

    @classmethod
    def load(cls, folder: Path) -> "Memoriser":
        raise NotImplementedError


@pytest.mark.parametrize("training", ["anchored", "sliding"])
def test_training_rows_are_forecast_by_models_that_saw_no_overlapping_label(
    training: Literal["anchored", "sliding"],
) -> None:
    bars = bundled_bars()
    labels = make_labels(bars, SmoothedLabelConfig(kind="smoothed", smoothing_k=5, threshold_delta=0.01))
    walk_forward = WalkForwardConfig(windows=2, test_bars=None, training=training)
    splits = windows_of(bars["timestamp"], CONFIG, walk_forward)[-1].splits(bars["timestamp"], CONFIG)
    features = bars[["timestamp", "symbol"]].assign(row=np.arange(len(bars), dtype=np.float32))
    Memoriser.asked.clear()
    Memoriser.chose.clear()
    data = learning_data(1, features, labels, CLASSES, ("row",), splits)
    _, signals = train_with_signals(Memoriser, None, data, CONFIG, 0, lambda *_: None, Path("unused"))
    times = np.sort(bars["timestamp"].unique())
    starts = labels["timestamp"].to_numpy()
    ends = labels["label_end"].fillna(labels["timestamp"]).to_numpy()
    in_training = splits.train.rows(labels["timestamp"])
    # Choices are made inside the training span, and no label overlaps both of its parts.
    ((fitted, selected),) = Memoriser.chose
    assert ends[fitted].max() < starts[selected].min()
    embargo = np.searchsorted(times, starts[selected].min()) - np.searchsorted(times, ends[fitted].max())
    assert embargo > CONFIG.embargo_bars
    assert ends[selected].max() < splits.train.end
    forecast = np.zeros(len(labels), dtype=int)
    for learnt, asked in Memoriser.asked:
        forecast[asked] += 1
        if not in_training[asked].any():
            assert ends[learnt].max() < starts[asked].min()
            assert np.isin(np.concatenate([fitted, selected]), learnt).all(), "the whole training span is learnt from"
            continue
        first, last = starts[asked].min(), ends[asked].max()
        overlapping = (starts[learnt] <= last) & (ends[learnt] >= first)
        assert not overlapping.any()
        later = starts[learnt][starts[learnt] > last]
        if len(later):
            embargo = np.searchsorted(times, later.min()) - np.searchsorted(times, last)
            assert embargo > CONFIG.embargo_bars
    from_training_on = (bars["timestamp"] >= splits.train.start).to_numpy()
    assert from_training_on.all() == (training == "anchored")
    assert (forecast == from_training_on).all(), "every row is forecast exactly once, those before the span never"
    in_training = in_training[from_training_on]
    folds = signals.set_index(["timestamp", "symbol"])["fold"].to_numpy()
    assert (folds[in_training] >= 0).all()
    assert (folds[~in_training] == FULL_MODEL).all()


def test_the_pipelines_signals_say_which_model_spoke(finished: Project) -> None:
    splits = Splits.from_dict(read_json(finished.folder / "data/processed/splits.json"))
    for name in ("lstm", "logistic"):
        signals = pd.read_parquet(finished.folder / f"data/processed/signals/{name}.parquet")
        in_training = splits.train.rows(signals["timestamp"])
        assert set(signals.loc[in_training, "fold"]) == set(range(5))
        assert set(signals.loc[~in_training, "fold"]) == {FULL_MODEL}
