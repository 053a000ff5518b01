"""Scores of class and return forecasts, as defined in scikit-learn and scipy.

Implemented in NumPy, because the training engine computes them after every epoch and serving has neither package.
"""

import numpy as np

CALIBRATION_BINS = 10


def log_losses(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """-ln of the probability of the true class, (n,), in nats."""
    chosen = probabilities[np.arange(len(labels)), labels]
    return -np.log(np.maximum(chosen, 1e-12))


def loss_parts(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The log losses (n,) of magnitude and of direction, which sum to `log_losses`.

    Classes c and K - 1 - c are the same move down and up. By the chain rule -ln p(class) = -ln p(pair) - ln p(side |
    pair). The middle class has no side, so its direction part is 0.
    """
    own = -log_losses(probabilities, labels)
    mirrored = -log_losses(probabilities, probabilities.shape[1] - 1 - labels)
    sided = 2 * labels != probabilities.shape[1] - 1
    pair = np.where(sided, np.logaddexp(own, mirrored), own)
    return -pair, pair - own


def confusion(labels: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Confusion matrix (n_classes, n_classes): rows are true classes, columns forecast classes."""
    return np.bincount(labels * n_classes + predicted, minlength=n_classes**2).reshape(n_classes, n_classes)


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error of the most probable class (Naeini et al., 2015), in ten equal bins of confidence."""
    confidence, hit = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, hit - confidence.astype(float), CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def classification_metrics(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Log loss (nats), accuracy, calibration error; precision, recall and F1 as unweighted means over classes.

    A class that is never forecast has precision 0, one that never occurs recall 0; a class with neither is left out of
    the means.

    Args:
        probabilities: (n, labels).
        labels: (n,) int.
    """
    counts = confusion(labels, probabilities.argmax(axis=1), probabilities.shape[1]).astype(float)
    hits, happened, forecast = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    seen = happened + forecast > 0
    return {
        "log_loss": float(log_losses(probabilities, labels).mean()),
        "accuracy": float(hits.sum() / counts.sum()),
        "precision_macro": float((hits / np.maximum(forecast, 1))[seen].mean()),
        "recall_macro": float((hits / np.maximum(happened, 1))[seen].mean()),
        "f1_macro": float((2 * hits / np.maximum(happened + forecast, 1))[seen].mean()),
        "calibration_error": calibration_error(probabilities, labels),
    }


def regression_metrics(predicted: np.ndarray, actual: np.ndarray) -> dict[str, float]:
    """Errors and correlations of n predictions; a correlation with a constant is 0."""
    predicted, actual = predicted.astype(float), actual.astype(float)
    error = actual - predicted
    mse, variance = float(np.mean(error**2)), float(actual.var())
    return {
        "mse": mse,
        "rmse": float(np.sqrt(mse)),
        "mae": float(np.abs(error).mean()),
        "r2": 1 - mse / variance if variance > 0 else 0.0,
        "explained_variance": 1 - float(error.var()) / variance if variance > 0 else 0.0,
        "correlation": _correlation(predicted, actual),
        # Spearman's rank correlation, called information coefficient in trading.
        "rank_ic": _correlation(_ranks(predicted), _ranks(actual)),
    }


def implied_returns(expected: np.ndarray, returns: np.ndarray, timestamps: np.ndarray) -> np.ndarray:
    """Returns before costs of trading on the sign of the expected returns: one per bar, in order of time.

    The symbols of a bar have equal weights, long if the expected return is positive and short if negative.
    """
    _, bar = np.unique(timestamps, return_inverse=True)
    return np.bincount(bar, np.sign(expected) * returns) / np.bincount(bar)


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 0 else 0.0


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0; ties get their mean rank."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[place]
