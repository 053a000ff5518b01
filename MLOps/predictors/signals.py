"""The signals contract: forecasts as a table; those of the training span are out-of-fold."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from MLOps.config.splits import SplitConfig
from MLOps.data.bars import KEYS
from MLOps.data.splits import purged_folds
from MLOps.errors import UserError
from MLOps.execution.contract import Map, in_turn
from MLOps.predictors.contract import Forecast, OnEpoch, Predictor, forecast
from MLOps.predictors.learning import LearningData
from MLOps.training.seeds import derive_seed

FULL_MODEL = -1  # `fold` of rows forecast by the model of the whole training span
PROBABILITY = "p_"  # prefix of the column of a class's probability
EMBEDDING = "embedding_"  # prefix of the columns of the embedding


def train_with_signals(
    kind: type[Predictor],
    config: Any,
    data: LearningData,
    split_config: SplitConfig,
    seed: int,
    on_epoch: OnEpoch,
    checkpoints: Path,
    run: Map = in_turn,
) -> tuple[Predictor, pd.DataFrame]:
    """Train on the training span, and forecast every row at which a whole window ends.

    Choices are made on the span `selection` with a model of the span `fitting`. With these choices one model is trained
    on the whole training span and forecasts all later rows; rows inside the span are forecast by one model per fold,
    trained on the other folds (purged and embargoed).

    Networks that are trained apart have embeddings in bases of their own. Those of a fold's model are brought into the
    basis of the final one by the windows from which the fold's model learnt. Thus the basis of an out-of-fold
    embedding, but not its values, depends on labels of the whole training span.

    Args:
        checkpoints: a folder for progress; the same call after a kill resumes from there.
        run: trains the models, once the choices are made.

    Returns:
        The model of the whole training span, and its signals: see `signal_table`, with the column `fold`.

    Raises:
        UserError: no labelled row follows the training span, or a class does not occur in a fold's training rows.
    """
    windows, labels = data.windows, data.labels
    if not (windows.whole & data.splits.validation.labelled(labels)).any():
        raise UserError("splits.validation: expected labelled rows after the warm-up, found none; add bars")
    chosen = kind.fit(config, data, derive_seed(seed, "choices"), on_epoch, checkpoints)
    in_training = data.splits.train.rows(labels["timestamp"])
    # Rows before the span, which a sliding training leaves out, have no forecast: the model has seen what follows them.
    later = (labels["timestamp"] >= data.splits.train.end).to_numpy()
    rows = np.flatnonzero(windows.whole & in_training)
    # A label that never becomes known ends at its own bar.
    ends = labels["label_end"].fillna(labels["timestamp"])
    folds = purged_folds(labels["timestamp"].iloc[rows], ends.iloc[rows], split_config)
    learnt_from = [np.intersect1d(rows[learn], data.train) for learn, _ in folds]
    for fold, learn_rows in enumerate(learnt_from):
        data.require_classes(learn_rows, f"the training rows of fold {fold}")
    refits = [(data.train, derive_seed(seed, "model"))]
    refits += [(learn_rows, derive_seed(seed, "fold", fold)) for fold, learn_rows in enumerate(learnt_from)]
    train = in_turn if kind.is_quick else run
    model, *fold_models = train(partial(_refit, chosen, data, checkpoints), refits, "models of the span and its folds")

    tables = [_signals(model, data, np.flatnonzero(windows.whole & later), FULL_MODEL)]
    for fold, (fold_model, learn_rows, (_, held_out)) in enumerate(zip(fold_models, learnt_from, folds, strict=True)):
        tables.append(_signals(fold_model.aligned(model, windows, learn_rows), data, rows[held_out], fold))
    return model, pd.concat(tables).sort_index().reset_index(drop=True)


def _refit(
    chosen: Predictor, data: LearningData, checkpoints: Path, rows_and_seed: tuple[np.ndarray, int]
) -> Predictor:
    return chosen.refit(data, *rows_and_seed, checkpoints)


def signal_table(keys: pd.DataFrame, given: Forecast, class_names: tuple[str, ...]) -> pd.DataFrame:
    """A forecast as a table with the keys (timestamp, symbol) of its rows.

    Further columns: `class`, the number of the most probable class; `confidence`, its probability; `p_<class>` for each
    of `class_names`; `expected_return`; `uncertainty`; and `embedding_<i>` for each component of an embedding.
    """
    table = keys.loc[:, list(KEYS)].copy()
    table["class"] = given.probabilities.argmax(axis=1).astype(np.float32)
    table["confidence"] = given.probabilities.max(axis=1)
    table[[PROBABILITY + name for name in class_names]] = given.probabilities
    table["expected_return"] = given.expected_return
    table["uncertainty"] = given.uncertainty
    if given.embedding is not None:
        table[[f"{EMBEDDING}{number}" for number in range(given.embedding.shape[1])]] = given.embedding
    return table


def forecast_of(signals: pd.DataFrame) -> Forecast:
    """The forecast in a table of signals, in the order of its rows."""
    embedding = [name for name in signals.columns if name.startswith(EMBEDDING)]
    return Forecast(
        signals[probability_columns(signals)].to_numpy(),
        signals["expected_return"].to_numpy(),
        signals["uncertainty"].to_numpy(),
        signals[embedding].to_numpy() if embedding else None,
    )


def signals_of(name: str, signals: pd.DataFrame) -> pd.DataFrame:
    """The signals of one predictor in a table of several, without the columns that it does not have."""
    own = signals[signals["predictor"] == name]
    return own.drop(columns=[column for column in own if column.startswith(EMBEDDING) and own[column].isna().all()])


def aligned(keys: pd.DataFrame, signals: pd.DataFrame) -> np.ndarray:
    """The row number in `signals` of each row of `keys`, by timestamp and symbol; -1 if there is none."""
    index = pd.MultiIndex.from_frame(signals[list(KEYS)])
    return index.get_indexer(pd.MultiIndex.from_frame(keys[list(KEYS)]))


def probability_columns(signals: pd.DataFrame) -> list[str]:
    """The probability columns of a table, in the order of the classes."""
    return [name for name in signals.columns if name.startswith(PROBABILITY)]


def _signals(model: Predictor, data: LearningData, rows: np.ndarray, fold: int) -> pd.DataFrame:
    table = signal_table(data.labels.iloc[rows], forecast(model, data.windows, rows), data.class_names)
    return table.assign(fold=np.int8(fold))
