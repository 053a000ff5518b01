"""How well class probabilities foresee classes."""

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, f1_score

from MLOps.data.bars import KEYS
from MLOps.predictors.signals import PROBABILITIES


def judged(signals: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """The rows that have both a forecast and a label, in time's order."""
    both = signals.merge(labels[[*KEYS, "label", "past_label"]], on=list(KEYS), validate="one_to_one")
    return both.sort_values(list(KEYS), ignore_index=True)


def log_losses(probabilities: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """-ln of the probability given to what happened, (n,), in nats."""
    chosen = probabilities[np.arange(len(classes)), classes]
    return -np.log(np.maximum(chosen, 1e-12))


def classification_metrics(signals: pd.DataFrame, labels: pd.DataFrame, prefix: str = "") -> dict[str, float]:
    """Log loss (nats), accuracy and macro F1 over the rows that have both a forecast and a label."""
    rows = judged(signals, labels)
    probabilities, classes = rows[list(PROBABILITIES)].to_numpy(float), rows["label"].to_numpy(int)
    predicted = probabilities.argmax(axis=1)
    return {
        f"{prefix}log_loss": float(log_losses(probabilities, classes).mean()),
        f"{prefix}accuracy": float(accuracy_score(classes, predicted)),
        f"{prefix}f1_macro": float(f1_score(classes, predicted, average="macro")),
    }
