"""Predictors fitted in closed form, stored as arrays."""

from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from MLOps.artifacts import read_arrays, read_json, write_arrays, write_json
from MLOps.config.predictors import parse_predictor
from MLOps.features.scaler import Scaler
from MLOps.predictors.contract import Forecast, OnEpoch, forecast
from MLOps.predictors.learning import LearningData
from MLOps.predictors.permutation import permutation_importance
from MLOps.predictors.windows import Windows
from MLOps.statistics.forecasts import log_losses


class ClosedFormPredictor(ABC):
    """Base class of predictors without epochs; a subclass implements `solve` and `predict`."""

    is_quick: ClassVar[bool] = True

    def __init__(self, config: Any, arrays: dict[str, np.ndarray]) -> None:
        self.config = config
        self.arrays = arrays

    @property
    def lookback_bars(self) -> int:
        return int(self.config.lookback_bars)

    @classmethod
    @abstractmethod
    def solve(cls, config: Any, data: LearningData, rows: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        """Fit on the labelled `rows` and return the arrays."""

    @abstractmethod
    def predict(self, windows: np.ndarray) -> Forecast:
        """See `Predictor.predict`."""

    @classmethod
    def fit(cls, config: Any, data: LearningData, seed: int, on_epoch: OnEpoch, checkpoints: Path) -> Self:
        """Train on the fitting rows; nothing is chosen, so the loss on the selection rows is only reported."""
        fitted = cls(config, cls.solve(config, data, data.fitting, seed))
        losses = {}
        for name, part in (("train", data.fitting), ("selection", data.selection)):
            probabilities = forecast(fitted, data.windows, part).probabilities
            losses[f"{name}_loss"] = float(log_losses(probabilities, data.targets.labels[part]).mean())
        on_epoch(1, losses)
        return fitted

    def refit(self, data: LearningData, rows: np.ndarray, seed: int, checkpoints: Path) -> Self:
        """See `Predictor.refit`."""
        return type(self)(self.config, self.solve(self.config, data, rows, seed))

    def aligned(self, to: Self, windows: Windows, rows: np.ndarray) -> Self:
        """Itself, for there is no embedding."""
        return self

    def explain(self, windows: Windows, rows: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        """See `Predictor.explain`; empty if `explain_windows` is 0 or not a parameter of the kind."""
        if not (wanted := getattr(self.config, "explain_windows", 0)):
            return {}
        every = -(-len(rows) // wanted)
        given = windows.ending_at(rows[::every])
        by_feature, by_bar = permutation_importance(self, given, labels[::every], seed)
        attributed = self.attribution(given)
        return {
            **({} if attributed is None else {"attribution": attributed}),
            "importance_features": by_feature,
            "importance_bars": by_bar,
        }

    def attribution(self, windows: np.ndarray) -> np.ndarray | None:
        """Mean absolute contribution of each input to the forecast, (bars, features); None if the model has no sum of
        contributions."""
        return None

    def export(self, folder: Path, windows: np.ndarray) -> dict[str, float]:
        """No export formats; returns an empty dict."""
        return {}

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        write_arrays(folder / "weights.safetensors", self.arrays)
        write_json(folder / "predictor.json", {"config": asdict(self.config)})

    @classmethod
    def load(cls, folder: Path) -> Self:
        where = folder / "predictor.json"
        return cls(parse_predictor(read_json(where)["config"], str(where)), read_arrays(folder / "weights.safetensors"))


def scaler_arrays(scaler: Scaler) -> dict[str, np.ndarray]:
    return {"scaler_median": scaler.median, "scaler_mean": scaler.mean, "scaler_std": scaler.std}


def flattened(windows: np.ndarray, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Windows (n, bars, features) as rows (n, bars * features) float64, scaled by `scaler_arrays`, oldest bar first."""
    scaler = Scaler(arrays["scaler_median"], arrays["scaler_mean"], arrays["scaler_std"])
    return scaler.transform(windows).reshape(len(windows), -1).astype(np.float64)
