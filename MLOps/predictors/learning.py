"""Training data of predictors: windows, targets, and the rows of each span."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from MLOps.data.splits import LearningSplits
from MLOps.errors import UserError
from MLOps.predictors.windows import Windows


@dataclass(frozen=True)
class Targets:
    """Targets of n rows, each (n,): the label, an int below `n_classes`, -1 if unknown; the next bar's return; and the
    timestamp as an int."""

    labels: np.ndarray
    returns: np.ndarray
    timestamps: np.ndarray
    n_classes: int

    def class_returns(self, rows: np.ndarray) -> np.ndarray:
        """Mean return of each class over `rows`, (n_classes,); 0 for a class that does not occur."""
        return np.array([_mean(self.returns[rows][self.labels[rows] == c]) for c in range(self.n_classes)])


@dataclass(frozen=True)
class LearningData:
    """Windows and targets of a table of features and labels, and the rows of each span.

    `train` are the labelled rows of the training span at which a whole window ends; `fitting` and `selection` are those
    of the two spans inside it. Choices are made by training on `fitting` and measuring on `selection`.
    """

    windows: Windows
    targets: Targets
    train: np.ndarray
    fitting: np.ndarray
    selection: np.ndarray
    labels: pd.DataFrame
    class_names: tuple[str, ...]
    splits: LearningSplits

    def require_classes(self, rows: Iterable[int], where: str) -> None:
        """
        Raises:
            UserError: a class does not occur in `rows`.
        """
        present = set(np.unique(self.targets.labels[np.asarray(rows, dtype=int)]))
        if missing := [name for number, name in enumerate(self.class_names) if number not in present]:
            raise UserError(
                f"labels: every class must occur in {where}; {', '.join(missing)} never does; "
                "change the labels section of params.yaml or add bars"
            )


def learning_data(
    lookback_bars: int,
    features: pd.DataFrame,
    labels: pd.DataFrame,
    class_names: tuple[str, ...],
    feature_names: tuple[str, ...],
    splits: LearningSplits,
) -> LearningData:
    """The learning data of one predictor.

    Raises:
        UserError: no window fits, a class does not occur in the training span or in its part `fitting`, or no labelled
            row lies in `selection`.
    """
    windows = Windows(features, feature_names, lookback_bars)
    targets = Targets(
        labels["label"].to_numpy(),
        labels["forward_return"].to_numpy(),
        labels["timestamp"].to_numpy("datetime64[us]").astype(np.int64),
        len(class_names),
    )
    train, fitting, selection = (
        np.flatnonzero(windows.whole & span.labelled(labels))
        for span in (splits.train, splits.fitting, splits.selection)
    )
    data = LearningData(windows, targets, train, fitting, selection, labels, class_names, splits)
    data.require_classes(train, "the training span")
    data.require_classes(fitting, "the part of the training span before splits.selection")
    if not len(selection):
        raise UserError(
            "splits.selection: expected rows with a label and a whole window in that last part of the training span, "
            "found none; add bars or raise splits.selection"
        )
    return data


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0
