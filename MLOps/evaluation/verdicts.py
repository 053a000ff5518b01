"""Verdicts on predictors: validity of the forecasts, and gain over the baselines on the validation span."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from MLOps.config.validation import ValidationConfig
from MLOps.data.splits import Span, Splits
from MLOps.errors import UserError
from MLOps.evaluation.forecasts import judged
from MLOps.predictors.baselines import class_prior, persist, persistence
from MLOps.predictors.contract import Forecast, Predictor
from MLOps.predictors.signals import forecast_of, probability_columns
from MLOps.statistics.dependent_mean import interval, required_bars
from MLOps.statistics.forecasts import log_losses, loss_parts

PARTS = ("direction", "magnitude")
ROUNDING_NATS = 1e-6  # probabilities are float32; a gain below this is rounding
HORIZON_QUANTILE = 0.9  # of the labels' lengths: a rare long one, as over a halt, does not stand for all


@dataclass(frozen=True, kw_only=True)
class Gain:
    """Mean reduction of the log loss against a baseline's, in nats per bar, and its confidence interval.

    The bounds are None where the span is too short for one.
    """

    gain: float
    lower: float | None
    upper: float | None

    @property
    def is_significant(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.lower is not None and self.lower > ROUNDING_NATS


@dataclass(frozen=True, kw_only=True)
class Comparison(Gain):
    """The gain of the whole log loss over one baseline."""

    baseline: str
    baseline_log_loss: float


@dataclass(frozen=True)
class Verdict:
    """The verdict on one predictor.

    `bars` were judged, with labels that look `horizon_bars` ahead. `direction` and `magnitude` are the parts of the
    gain over the class prior (`loss_parts`). `reasons` say why it failed; there are none when it passed.
    """

    predictor: str
    bars: int
    horizon_bars: int
    log_loss: float
    comparisons: tuple[Comparison, ...]
    direction: Gain
    magnitude: Gain
    reasons: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.reasons

    @property
    def skilled_in(self) -> tuple[str, ...]:
        """The PARTS whose gain is significant."""
        return tuple(part for part in PARTS if getattr(self, part).is_significant)

    @property
    def conclusion(self) -> str:
        """The verdict in words."""
        if not self.passed:
            return f"failed: {'; '.join(self.reasons)}"
        unknown = [part for part in PARTS if part not in self.skilled_in]
        if len(unknown) == len(PARTS):
            return f"passed: skill in neither {' nor '.join(PARTS)} alone is significant"
        return f"passed: skill in {' and '.join(self.skilled_in)}" + "".join(f", none in {part}" for part in unknown)

    def is_useful(self, use: tuple[str, ...]) -> bool:
        """Whether it passed with skill in the part that `use` names; where `use` names both, passing is enough."""
        return self.passed and (set(use) == set(PARTS) or bool(set(use) & set(self.skilled_in)))

    def gain_over(self, baseline: str) -> float:
        return next(c.gain for c in self.comparisons if c.baseline == baseline)

    def to_dict(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "passed": self.passed,
            "skilled_in": list(self.skilled_in),
            "conclusion": self.conclusion,
        }


def probe(predictor: Predictor, windows: np.ndarray, n_classes: int, name: str) -> None:
    """Ask for a forecast and check its form.

    Args:
        windows: (n, lookback_bars, features) float32, as the predictor expects them.

    Raises:
        UserError: probabilities, expected return or uncertainty have the wrong shape or type, or invalid values.
    """
    _check(predictor.predict(windows), (len(windows), n_classes), name)


def check_signals(signals: pd.DataFrame, name: str) -> None:
    """Like `probe`, for forecasts in a table of signals."""
    forecast = forecast_of(signals)
    _check(forecast, forecast.probabilities.shape, name)


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


def baselines(labels: pd.DataFrame, splits: Splits, n_classes: int) -> dict[str, Callable[[pd.DataFrame], np.ndarray]]:
    """Baseline forecasts fitted on the training span, by name: functions of judged rows to probabilities."""
    train = labels[splits.train.labelled(labels)]
    prior = class_prior(train["label"].to_numpy(int), n_classes)
    transitions = persistence(train["past_label"].to_numpy(int), train["label"].to_numpy(int), n_classes)
    return {
        "class_prior": lambda rows: np.tile(prior, (len(rows), 1)),
        "persistence": lambda rows: persist(transitions, rows["past_label"].to_numpy(int)),
    }


def judge(name: str, signals: pd.DataFrame, labels: pd.DataFrame, splits: Splits, config: ValidationConfig) -> Verdict:
    """Compare a predictor's log loss on the validation span with every baseline's, in parts with the class prior's.

    Losses are averaged over the symbols of a bar first: what happens at one time is one observation. The predictor
    passes when the interval of its gain (`dependent_mean.interval`, for labels that overlap as these do) lies above 0
    for every baseline. It fails when the span is too short for an interval.

    Raises:
        UserError: no bar of the validation span has both a forecast and a label.
    """
    rows = judged(signals, labels[splits.validation.labelled(labels)])
    if rows.empty:
        raise UserError(
            f"predictor {name}: expected bars with a forecast and a label in the validation span, found none; "
            "give more bars or raise splits.validation"
        )
    bars, horizon = rows["timestamp"].nunique(), horizon_bars(labels, splits.validation)
    classes = rows["label"].to_numpy(int)
    probabilities = rows[probability_columns(rows)].to_numpy(float)
    forecasts = {
        baseline: forecast(rows) for baseline, forecast in baselines(labels, splits, probabilities.shape[1]).items()
    }

    def by_bar(losses: np.ndarray) -> np.ndarray:
        return pd.Series(losses).groupby(rows["timestamp"]).mean().to_numpy()

    def gain(theirs: np.ndarray, own: np.ndarray) -> Gain:
        difference = by_bar(theirs - own)
        lower, upper = interval(difference, config.confidence, horizon) or (None, None)
        return Gain(gain=float(difference.mean()), lower=lower, upper=upper)

    own = log_losses(probabilities, classes)
    comparisons = []
    for baseline, forecast in forecasts.items():
        theirs = log_losses(forecast, classes)
        mean_loss = float(by_bar(theirs).mean())
        comparisons.append(Comparison(**asdict(gain(theirs, own)), baseline=baseline, baseline_log_loss=mean_loss))
    parts = zip(loss_parts(forecasts["class_prior"], classes), loss_parts(probabilities, classes), strict=True)
    magnitude, direction = (gain(theirs, own_part) for theirs, own_part in parts)
    reasons = [
        f"its log loss is not below that of {c.baseline} with {config.confidence:.0%} confidence: gain {c.gain:.4f} "
        f"nats, interval {c.lower:.4f} to {c.upper:.4f}"
        for c in comparisons
        if c.lower is not None and not c.is_significant
    ]
    if bars < (required := required_bars(horizon)):
        reasons.append(
            f"the validation span is too short: labels that look {horizon} bars ahead need {required} judged "
            f"bars, it has {bars}; give more bars, raise splits.validation or shorten the labels' horizon"
        )
    log_loss = float(by_bar(own).mean())
    return Verdict(name, bars, horizon, log_loss, tuple(comparisons), direction, magnitude, tuple(reasons))


def horizon_bars(labels: pd.DataFrame, span: Span) -> int:
    """How many bars of the market the labels of a span look ahead, at least 1; 1 if it has none.

    Counted from `label_end`: a label over a few bars of a symbol that trades seldom spans many bars of the market, and
    a barrier that is touched soon ends a label early.
    """
    timeline = pd.DatetimeIndex(labels.loc[span.rows(labels["timestamp"]), "timestamp"].unique()).sort_values()
    own = labels[span.labelled(labels)]
    ahead = timeline.searchsorted(own["label_end"]) - timeline.searchsorted(own["timestamp"])
    return max(1, int(np.quantile(ahead, HORIZON_QUANTILE, method="higher"))) if len(ahead) else 1
