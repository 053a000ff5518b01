"""Gradient-boosted trees on binned features (Ke et al., 2017), fitted by scikit-learn and stored as arrays."""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from MLOps.config.predictors import GradientBoostingConfig
from MLOps.errors import UserError
from MLOps.predictors.closed_form import ClosedFormPredictor, flattened, scaler_arrays
from MLOps.predictors.contract import Forecast, OnEpoch, class_probabilities
from MLOps.predictors.learning import LearningData
from MLOps.statistics.forecasts import log_losses


class GradientBoostingPredictor(ClosedFormPredictor):
    """The nodes of all trees, concatenated, each (nodes,): `feature`, `threshold`, `left`, `right`, and `value` of a
    leaf, whose `feature` is -1. `roots` (rounds, scores) are the root nodes, `start` (scores,) the initial scores.
    There is one score per class, or a single one for two classes; see `class_probabilities`."""

    is_quick: ClassVar[bool] = False

    @classmethod
    def fit(
        cls, config: GradientBoostingConfig, data: LearningData, seed: int, on_epoch: OnEpoch, checkpoints: Path
    ) -> "GradientBoostingPredictor":
        """Fit `max_iter` rounds and keep the number with the lowest log loss on the selection rows."""
        model, arrays = _grow(config, data, data.fitting, seed)
        losses = {
            name: [
                float(log_losses(probabilities, data.targets.labels[part]).mean())
                for probabilities in model.staged_predict_proba(flattened(data.windows.ending_at(part), arrays))
            ]
            for name, part in (("train", data.fitting), ("selection", data.selection))
        }
        for number, (train, selection) in enumerate(zip(losses["train"], losses["selection"], strict=True), 1):
            on_epoch(number, {"train_loss": train, "selection_loss": selection})
        rounds = int(np.argmin(losses["selection"])) + 1
        class_returns = data.targets.class_returns(data.fitting)
        return cls(replace(config, max_iter=rounds), _as_arrays(model, rounds, arrays, class_returns))

    @classmethod
    def solve(
        cls, config: GradientBoostingConfig, data: LearningData, rows: np.ndarray, seed: int
    ) -> dict[str, np.ndarray]:
        model, arrays = _grow(config, data, rows, seed)
        return _as_arrays(model, config.max_iter, arrays, data.targets.class_returns(rows))

    @classmethod
    def load(cls, folder: Path) -> "GradientBoostingPredictor":
        """
        Raises:
            UserError: a node's children do not follow it, so that a path might not end.
        """
        loaded = super().load(folder)
        own = np.flatnonzero(loaded.arrays["feature"] >= 0)
        children = np.stack([loaded.arrays[side][own] for side in ("left", "right")])
        if not ((children > own) & (children < len(loaded.arrays["feature"]))).all():
            raise UserError(f"{folder}: expected trees whose nodes follow their parents; retrain it")
        return loaded

    def predict(self, windows: np.ndarray) -> Forecast:
        inputs, arrays = flattened(windows, self.arrays), self.arrays
        sample = np.arange(len(inputs))[:, None]
        scores = np.tile(arrays["start"], (len(inputs), 1))
        for roots in arrays["roots"]:  # one round at a time, the order of addition in scikit-learn
            node = np.tile(roots, (len(inputs), 1))
            while (inner := arrays["feature"][node] >= 0).any():
                goes_left = inputs[sample, arrays["feature"][node]] <= arrays["threshold"][node]
                node = np.where(inner, np.where(goes_left, arrays["left"][node], arrays["right"][node]), node)
            scores += arrays["value"][node]
        return Forecast.from_probabilities(class_probabilities(scores), arrays["class_returns"])


def _grow(
    config: GradientBoostingConfig, data: LearningData, rows: np.ndarray, seed: int
) -> tuple[Any, dict[str, np.ndarray]]:
    # Imported here because it takes a second and a served model never fits.
    from sklearn.ensemble import HistGradientBoostingClassifier

    arrays = scaler_arrays(data.windows.fit_scaler(rows))
    model = HistGradientBoostingClassifier(
        max_iter=config.max_iter,
        learning_rate=config.learning_rate,
        max_leaf_nodes=config.max_leaf_nodes,
        min_samples_leaf=config.min_samples_leaf,
        l2_regularization=config.l2_penalty,
        early_stopping=False,
        random_state=seed,
    )
    return model.fit(flattened(data.windows.ending_at(rows), arrays), data.targets.labels[rows]), arrays


def _as_arrays(
    model: Any, rounds: int, scaler: dict[str, np.ndarray], class_returns: np.ndarray
) -> dict[str, np.ndarray]:
    # scikit-learn has no public access to its trees; a test compares the forecasts of both.
    trees = [[tree.nodes for tree in of_round] for of_round in model._predictors[:rounds]]
    sizes = np.array([[len(nodes) for nodes in of_round] for of_round in trees])
    roots = (np.cumsum(sizes) - sizes.ravel()).reshape(sizes.shape)
    nodes = np.concatenate([nodes for of_round in trees for nodes in of_round])
    root_of = np.repeat(roots.ravel(), sizes.ravel())
    return {
        **scaler,
        "roots": roots,
        "feature": np.where(nodes["is_leaf"], -1, nodes["feature_idx"]),
        "threshold": nodes["num_threshold"],
        "left": nodes["left"].astype(np.int64) + root_of,
        "right": nodes["right"].astype(np.int64) + root_of,
        "value": np.where(nodes["is_leaf"], nodes["value"], 0.0),
        "start": model._baseline_prediction.ravel().astype(np.float64),
        "class_returns": class_returns,
    }
