"""Whether a predictor is worth listening to: it answers in the right form, and beats the baselines on validation."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from MLOps.config.params import ValidationConfig
from MLOps.data.splits import Splits
from MLOps.errors import UserError
from MLOps.evaluation.bootstrap import mean_interval
from MLOps.evaluation.classification import judged
from MLOps.predictors import Forecast, Predictor
from MLOps.predictors.baselines import class_prior, persist, persistence
from MLOps.predictors.metrics import log_losses
from MLOps.predictors.signals import probability_columns


@dataclass(frozen=True)
class Comparison:
    """Against one baseline: by how many nats the predictor's log loss is lower, with its interval."""

    baseline: str
    baseline_log_loss: float
    gain: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Verdict:
    """On one predictor; `reasons` say what it failed, empty when it passed."""

    predictor: str
    log_loss: float
    comparisons: tuple[Comparison, ...]
    reasons: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.reasons

    def gain_over(self, baseline: str) -> float:
        return next(c.gain for c in self.comparisons if c.baseline == baseline)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "passed": self.passed}


def probe(predictor: Predictor, windows: np.ndarray, class_count: int, name: str) -> None:
    """Ask for a forecast and check its form.

    Args:
        windows: (n, lookback_bars, features) float32, as the predictor expects them.

    Raises:
        UserError: probabilities, expected return or uncertainty are missing, of another shape, or no such thing.
    """
    _check(predictor.predict(windows), (len(windows), class_count), name)


def check_signals(signals: pd.DataFrame, name: str) -> None:
    """The same of a forecast that lies in a table of signals, as an ensemble's does."""
    probabilities = signals[probability_columns(signals)]
    parts = (probabilities, signals["expected_return"], signals["uncertainty"])
    _check(Forecast(*(part.to_numpy() for part in parts)), probabilities.shape, name)


def _check(forecast: Forecast, expected: tuple[int, int], name: str) -> None:
    shapes = {
        "probabilities": (forecast.probabilities, expected),
        "expected_return": (forecast.expected_return, expected[:1]),
        "uncertainty": (forecast.uncertainty, expected[:1]),
    }
    for part, (values, shape) in shapes.items():
        if values.shape != shape or values.dtype != np.float32 or not np.isfinite(values).all():
            raise UserError(
                f"predictor {name}: expected finite float32 {part} of shape {shape}, "
                f"found {values.dtype} {values.shape}; correct its predict"
            )
    total = forecast.probabilities.sum(axis=1)
    if (forecast.probabilities < 0).any() or np.abs(total - 1).max() > 1e-5:
        raise UserError(f"predictor {name}: expected probabilities that sum to 1, found {total.min():g} to "
                        f"{total.max():g}; correct its predict")  # fmt: skip
    if (forecast.uncertainty < 0).any() or (forecast.uncertainty > 1 + 1e-6).any():
        raise UserError(f"predictor {name}: expected an uncertainty between 0 and 1; correct its predict")


def baselines(
    labels: pd.DataFrame, splits: Splits, class_count: int
) -> dict[str, Callable[[pd.DataFrame], np.ndarray]]:
    """What predictors are held against, fitted on the training span: judged rows in, probabilities out."""
    train = labels[splits.train.labelled(labels)]
    prior = class_prior(train["label"].to_numpy(int), class_count)
    transitions = persistence(train["past_label"].to_numpy(int), train["label"].to_numpy(int), class_count)
    return {
        "class_prior": lambda rows: np.tile(prior, (len(rows), 1)),
        "persistence": lambda rows: persist(transitions, rows["past_label"].to_numpy(int)),
    }


def judge(
    name: str, signals: pd.DataFrame, labels: pd.DataFrame, splits: Splits, config: ValidationConfig, seed: int
) -> Verdict:
    """Compare a predictor's log loss on the validation span with every baseline's.

    Losses are averaged over the symbols of a bar first: what happens at one time is one observation. The predictor
    passes when its gain's interval, at the configured confidence, lies above 0 for every baseline. A network also chose
    its epoch by these rows, so its interval is a little kinder than it says; the test span stays unseen.
    """
    rows = judged(signals, labels[splits.validation.labelled(labels)])
    classes = rows["label"].to_numpy(int)
    probabilities = rows[probability_columns(rows)].to_numpy(float)
    own = log_losses(probabilities, classes)

    def by_bar(losses: np.ndarray) -> np.ndarray:
        return pd.Series(losses).groupby(rows["timestamp"]).mean().to_numpy()

    comparisons, reasons = [], []
    for baseline, forecast in baselines(labels, splits, probabilities.shape[1]).items():
        theirs = log_losses(forecast(rows), classes)
        gain, lower, upper = mean_interval(
            by_bar(theirs - own), config.confidence, config.bootstrap_samples, config.block_bars, seed
        )
        comparisons.append(Comparison(baseline, float(by_bar(theirs).mean()), gain, lower, upper))
        if lower <= 0:
            reasons.append(
                f"its log loss is not below that of {baseline} with {config.confidence:.0%} confidence: "
                f"gain {gain:.4f} nats, interval {lower:.4f} to {upper:.4f}"
            )
    return Verdict(name, float(by_bar(own).mean()), tuple(comparisons), tuple(reasons))
