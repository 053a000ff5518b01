"""Multinomial logistic regression on the flattened window, fitted by scikit-learn and kept as plain coefficients."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.special import softmax

from MLOps.artifacts import read_arrays, read_json, write_arrays, write_json
from MLOps.config.params import LogisticConfig
from MLOps.config.schema import parse
from MLOps.features.scaler import Scaler
from MLOps.predictors.contract import Forecast, OnEpoch, Targets
from MLOps.predictors.windows import Windows


@dataclass
class LogisticPredictor:
    """Coefficients (classes, bars * features) and intercepts (classes,), behind the scaler they were fitted behind."""

    config: LogisticConfig
    coefficients: np.ndarray
    intercepts: np.ndarray
    scaler: Scaler
    class_returns: np.ndarray

    @property
    def lookback_bars(self) -> int:
        return self.config.lookback_bars

    @classmethod
    def fit(
        cls,
        config: LogisticConfig,
        windows: Windows,
        targets: Targets,
        train_rows: np.ndarray,
        validation_rows: np.ndarray,
        seed: int,
        on_epoch: OnEpoch,
    ) -> "LogisticPredictor":
        """Fit on the training rows; nothing is chosen, so validation is only measured."""
        fitted = cls._solve(config, windows, targets, train_rows)
        metrics = {}
        for name, rows in (("train", train_rows), ("validation", validation_rows)):
            chosen = fitted.predict(windows.ending_at(rows)).probabilities[np.arange(len(rows)), targets.classes[rows]]
            metrics[f"{name}_loss"] = float(-np.log(chosen).mean())
        on_epoch(1, metrics)
        return fitted

    def refit(self, windows: Windows, targets: Targets, rows: np.ndarray, seed: int) -> "LogisticPredictor":
        return self._solve(self.config, windows, targets, rows)

    @classmethod
    def _solve(
        cls, config: LogisticConfig, windows: Windows, targets: Targets, rows: np.ndarray
    ) -> "LogisticPredictor":
        # scikit-learn takes a second to import and a served model never fits.
        from sklearn.linear_model import LogisticRegression

        scaler = Scaler.fit(windows.values[rows])
        inputs = scaler.transform(windows.ending_at(rows)).reshape(len(rows), -1).astype(np.float64)
        model = LogisticRegression(C=config.regularisation_c, max_iter=1000).fit(inputs, targets.classes[rows])
        return cls(config, model.coef_, model.intercept_, scaler, targets.class_returns(rows))

    def predict(self, windows: np.ndarray) -> Forecast:
        """See `Predictor.predict`."""
        inputs = self.scaler.transform(windows).reshape(len(windows), -1).astype(np.float64)
        probabilities = softmax(inputs @ self.coefficients.T + self.intercepts, axis=1)
        return Forecast.from_probabilities(probabilities, self.class_returns)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        write_arrays(folder / "weights.safetensors", {"coefficients": self.coefficients, "intercepts": self.intercepts})
        write_json(
            folder / "predictor.json",
            {
                "config": asdict(self.config),
                "scaler": self.scaler.to_dict(),
                "class_returns": self.class_returns.tolist(),
            },
        )

    @classmethod
    def load(cls, folder: Path) -> "LogisticPredictor":
        saved = read_json(folder / "predictor.json")
        weights = read_arrays(folder / "weights.safetensors")
        return cls(
            parse(LogisticConfig, saved["config"], str(folder / "predictor.json")),
            weights["coefficients"],
            weights["intercepts"],
            Scaler.from_dict(saved["scaler"]),
            np.asarray(saved["class_returns"]),
        )
