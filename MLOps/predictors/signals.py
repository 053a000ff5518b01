"""The signals contract: forecasts as a table, those of the training span made by models that did not see the answer."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from MLOps.config.params import SplitConfig
from MLOps.data.bars import KEYS
from MLOps.data.splits import Splits, purged_folds
from MLOps.errors import UserError
from MLOps.predictors.contract import Forecast, OnEpoch, Predictor, Targets, forecast
from MLOps.predictors.progress import progress_bars
from MLOps.predictors.windows import Windows

FULL_MODEL = -1  # `fold` of a row whose forecast is by the model of the whole training span
PROBABILITY = "p_"  # begins the name of a class's column


def train_with_signals(
    kind: type[Predictor],
    config: Any,
    features: pd.DataFrame,
    labels: pd.DataFrame,
    classes: tuple[str, ...],
    names: tuple[str, ...],
    splits: Splits,
    split_config: SplitConfig,
    seed: int,
    on_epoch: OnEpoch,
    checkpoints: Path,
) -> tuple[Predictor, pd.DataFrame]:
    """Train on the training span, and forecast every row that ends a whole window.

    Choices are made on the span `selection`, by a model of the span `fitting`. With these choices one model learns
    from the whole training span and forecasts all later rows; rows inside it are forecast by one model a fold, which
    learnt from the other folds (purged and embargoed).

    Args:
        classes: the names of the labels' classes, in order.
        names: of the features to learn from.
        checkpoints: a folder for progress; the same call after a kill goes on from there.

    Returns:
        The model of the whole training span, and its signals: see `signal_table`, and `fold`.

    Raises:
        UserError: no window fits, or a class does not occur in a set of rows to learn from.
    """
    data = learning_data(config.lookback_bars, features, labels, classes, names, splits)
    windows, targets = data.windows, data.targets
    if not (windows.whole & splits.validation.labelled(labels)).any():
        raise UserError("splits.validation: expected labelled rows after the warm-up, found none; give more bars")
    chosen = kind.fit(config, windows, targets, data.fitting, data.selection, seed, on_epoch, checkpoints)
    model = chosen.refit(windows, targets, data.train, seed, checkpoints)

    in_training = splits.train.rows(labels["timestamp"])
    tables = [_signals(model, windows, labels, classes, np.flatnonzero(windows.whole & ~in_training), FULL_MODEL)]
    rows = np.flatnonzero(windows.whole & in_training)
    # A label that never becomes known looks at nothing beyond its own bar.
    ends = labels["label_end"].fillna(labels["timestamp"])
    folds = purged_folds(labels["timestamp"].iloc[rows], ends.iloc[rows], split_config)
    with progress_bars() as progress:
        for fold, (learn, held_out) in enumerate(progress.track(folds, description="out-of-fold models")):
            learn_rows = np.intersect1d(rows[learn], data.train)
            _require_classes(classes, targets, learn_rows, f"the training rows of fold {fold}")
            fold_model = chosen.refit(windows, targets, learn_rows, seed + 1 + fold, checkpoints)
            tables.append(_signals(fold_model, windows, labels, classes, rows[held_out], fold))
    return model, pd.concat(tables).sort_index().reset_index(drop=True)


@dataclass(frozen=True)
class LearningData:
    """Windows, targets, and the labelled rows of the training span and of the two spans inside it."""

    windows: Windows
    targets: Targets
    train: np.ndarray
    fitting: np.ndarray
    selection: np.ndarray


def learning_data(
    lookback_bars: int,
    features: pd.DataFrame,
    labels: pd.DataFrame,
    classes: tuple[str, ...],
    names: tuple[str, ...],
    splits: Splits,
) -> LearningData:
    """What a predictor learns from and makes its choices on: the training span and nothing after it.

    Raises:
        UserError: no window fits, a class does not occur in the training span or in its part `fitting`, or no labelled
            row lies in `selection`.
    """
    windows = Windows(features, names, lookback_bars)
    targets = Targets(
        labels["label"].to_numpy(),
        labels["forward_return"].to_numpy(),
        labels["timestamp"].to_numpy("datetime64[us]").astype(np.int64),
        len(classes),
    )
    train, fitting, selection = (
        np.flatnonzero(windows.whole & span.labelled(labels))
        for span in (splits.train, splits.fitting, splits.selection)
    )
    _require_classes(classes, targets, train, "the training span")
    _require_classes(classes, targets, fitting, "the part of the training span before splits.selection")
    if not len(selection):
        raise UserError(
            "splits.selection: expected rows with a label and a whole window in that last part of the training span, "
            "found none; give more bars or raise splits.selection"
        )
    return LearningData(windows, targets, train, fitting, selection)


def signal_table(keys: pd.DataFrame, given: Forecast, classes: tuple[str, ...]) -> pd.DataFrame:
    """A forecast beside the (timestamp, symbol) of its rows.

    Its columns: `class`, the number of the likeliest one; `confidence`, that one's probability; `p_<class>` for each of
    the `classes`; `expected_return`; and `uncertainty`.
    """
    table = keys.loc[:, list(KEYS)].copy()
    table["class"] = given.probabilities.argmax(axis=1).astype(np.float32)
    table["confidence"] = given.probabilities.max(axis=1)
    table[[PROBABILITY + name for name in classes]] = given.probabilities
    table["expected_return"] = given.expected_return
    table["uncertainty"] = given.uncertainty
    return table


def forecast_of(signals: pd.DataFrame) -> Forecast:
    """The forecast that lies in a table of signals, in its order."""
    parts = (signals[probability_columns(signals)], signals["expected_return"], signals["uncertainty"])
    return Forecast(*(part.to_numpy() for part in parts))


def aligned(keys: pd.DataFrame, signals: pd.DataFrame) -> np.ndarray:
    """The row of `signals` for each row of `keys`, by timestamp and symbol; -1 where there is none."""
    index = pd.MultiIndex.from_frame(signals[list(KEYS)])
    return index.get_indexer(pd.MultiIndex.from_frame(keys[list(KEYS)]))


def probability_columns(signals: pd.DataFrame) -> list[str]:
    """The columns that hold the probabilities of a table's classes, in the classes' order."""
    return [name for name in signals.columns if name.startswith(PROBABILITY)]


def _signals(
    model: Predictor, windows: Windows, labels: pd.DataFrame, classes: tuple[str, ...], rows: np.ndarray, fold: int
) -> pd.DataFrame:
    return signal_table(labels.iloc[rows], forecast(model, windows, rows), classes).assign(fold=np.int8(fold))


def _require_classes(classes: tuple[str, ...], targets: Targets, rows: Iterable[int], where: str) -> None:
    present = set(np.unique(targets.classes[np.asarray(rows, dtype=int)]))
    if missing := [name for number, name in enumerate(classes) if number not in present]:
        raise UserError(
            f"labels: every class must occur in {where}; {', '.join(missing)} never does; "
            "mend the labels section of params.yaml or give more bars"
        )
