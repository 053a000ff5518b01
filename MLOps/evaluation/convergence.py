"""Whether a predictor's training converged, from its losses and those of a constant forecast; its loss fold by fold."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from MLOps.data.splits import Span, Splits
from MLOps.evaluation.forecasts import judged
from MLOps.predictors.baselines import class_prior
from MLOps.predictors.signals import FULL_MODEL, probability_columns
from MLOps.statistics.forecasts import log_losses

SAME_LOSS = 1e-3  # a smaller share of the constant forecast's loss is no gain
KEPT_GAIN = 0.1  # the least share of the gain in training that must hold on the selection rows


@dataclass(frozen=True)
class Convergence:
    """The state of a training, and the reason in a sentence."""

    state: Literal["converged", "overfit", "underfit", "diverged"]
    reason: str


def convergence(history: pd.DataFrame, constant_train: float, constant_selection: float) -> Convergence:
    """Judge a training by the weights it kept, those of the epoch or round with the lowest selection loss.

    diverged: a loss is not finite, or the training loss ended above its first value. underfit: the training loss gains
    nothing on a constant forecast's, or the selection loss still fell in the last epoch. overfit: less than KEPT_GAIN
    of the gain in training holds on the selection rows. converged: otherwise.

    Args:
        history: `train_loss` and `selection_loss`, a row an epoch.
        constant_train, constant_selection: losses of the best constant forecast on the same rows: `constant_losses`.
    """
    train, selection = history["train_loss"].to_numpy(float), history["selection_loss"].to_numpy(float)
    epochs = len(train)
    tolerance = SAME_LOSS * constant_train
    if not np.isfinite([*train, *selection]).all() or train[-1] > train[0] + tolerance:
        return Convergence(
            "diverged", f"the training loss went from {train[0]:.4f} to {train[-1]:.4f}; lower learning_rate"
        )
    kept = int(selection.argmin())
    learnt, held = constant_train - train[kept], constant_selection - selection[kept]
    if learnt <= tolerance:
        return Convergence(
            "underfit",
            f"the training loss {train[kept]:.4f} is not below the {constant_train:.4f} of a constant forecast",
        )
    if held < KEPT_GAIN * learnt:
        return Convergence(
            "overfit",
            f"it gains {learnt:.4f} on a constant forecast in training and {held:.4f} on the selection rows",
        )
    share = f"{held / learnt:.0%}"
    if epochs == 1:
        return Convergence("converged", f"solved at once; {share} of the gain in training holds on the selection rows")
    if kept == epochs - 1 and selection[-2] - selection[-1] > tolerance:
        return Convergence("underfit", f"the selection loss still fell in the last of {epochs} epochs; allow more")
    return Convergence(
        "converged",
        f"the selection loss was lowest after epoch {kept + 1} of {epochs}, whose weights were kept; "
        f"{share} of the gain in training holds on the selection rows",
    )


def constant_losses(labels: pd.DataFrame, splits: Splits, config: Any) -> tuple[float, float]:
    """Losses on the rows of `fitting` and of `selection` of the class shares and mean return of `fitting`.

    Args:
        config: of the predictor. A network's loss is the weighted sum of log loss and squared error of the scaled
            return; that of all others is the log loss.
    """
    of_classes = getattr(config, "class_loss_weight", 1.0)
    of_returns = getattr(config, "return_loss_weight", 0.0)
    fitting = labels[splits.fitting.labelled(labels)]
    count = int(labels["label"].max()) + 1
    prior = class_prior(fitting["label"].to_numpy(int), count)
    mean, deviation = fitting["forward_return"].mean(), fitting["forward_return"].std(ddof=0)

    def loss(span: Span) -> float:
        rows = labels[span.labelled(labels)]
        probabilities = np.tile(prior, (len(rows), 1))
        classes = log_losses(probabilities, rows["label"].to_numpy(int)).mean()
        errors = ((rows["forward_return"] - mean) ** 2).mean() / deviation**2 if deviation > 0 else 0.0
        return float(of_classes * classes + of_returns * errors)

    return loss(splits.fitting), loss(splits.selection)


def fold_losses(signals: pd.DataFrame, labels: pd.DataFrame, splits: Splits) -> list[dict[str, float]]:
    """Log loss of the out-of-fold forecasts of the training span, fold by fold: `fold`, `rows`, `log_loss`."""
    rows = judged(signals[signals["fold"] != FULL_MODEL], labels[splits.train.labelled(labels)])
    losses = log_losses(rows[probability_columns(rows)].to_numpy(float), rows["label"].to_numpy(int))
    groups = pd.Series(losses).groupby(rows["fold"].to_numpy())
    return [{"fold": int(fold), "rows": len(own), "log_loss": float(own.mean())} for fold, own in groups]
