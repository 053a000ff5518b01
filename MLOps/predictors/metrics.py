"""How good forecasts are: of classes, of returns, and as positions; each figure as scikit-learn or scipy defines it.

Written out in numpy, for the training engine computes them after every epoch and serving needs none of those packages.
"""

import numpy as np

CALIBRATION_BINS = 10
NO_VARIATION = 1e-12
LOWER_IS_BETTER = ("loss", "mse", "mae", "rmse", "calibration_error", "max_drawdown", "gradient_norm")


def is_better(metric: str, new: float, old: float) -> bool:
    """Whether `new` beats `old` for the named metric, which may carry a prefix as in selection_loss."""
    return new < old if metric.endswith(LOWER_IS_BETTER) else new > old


def log_losses(probabilities: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """-ln of the probability given to what happened, (n,), in nats."""
    chosen = probabilities[np.arange(len(classes)), classes]
    return -np.log(np.maximum(chosen, 1e-12))


def loss_parts(probabilities: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The log losses (n,) of how far and of which way: magnitude and direction, which sum to `log_losses`.

    Classes c and K - 1 - c are one move up and down. By the chain rule -ln p(class) = -ln p(pair) - ln p(side | pair).
    A class in the middle has no side, so its direction part is 0.
    """
    own = -log_losses(probabilities, classes)
    mirrored = -log_losses(probabilities, probabilities.shape[1] - 1 - classes)
    sided = 2 * classes != probabilities.shape[1] - 1
    pair = np.where(sided, np.logaddexp(own, mirrored), own)
    return -pair, pair - own


def confusion(classes: np.ndarray, predicted: np.ndarray, class_count: int) -> np.ndarray:
    """Counts (classes, classes): rows are what happened, columns what was forecast."""
    return np.bincount(classes * class_count + predicted, minlength=class_count**2).reshape(class_count, class_count)


def calibration_error(probabilities: np.ndarray, classes: np.ndarray) -> float:
    """Expected calibration error of the likeliest class (Naeini et al., 2015), in ten equal bins of confidence."""
    confidence, hit = probabilities.max(axis=1), probabilities.argmax(axis=1) == classes
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, hit - confidence.astype(float), CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(classes))


def classification_metrics(probabilities: np.ndarray, classes: np.ndarray) -> dict[str, float]:
    """Log loss (nats), accuracy, calibration error; precision, recall and F1 as unweighted means over classes.

    A class that is never forecast has precision 0 and one that never happens recall 0; a class that does neither is
    left out of the means.

    Args:
        probabilities: (n, classes).
        classes: (n,) what happened, int.
    """
    counts = confusion(classes, probabilities.argmax(axis=1), probabilities.shape[1]).astype(float)
    hits, happened, forecast = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    seen = happened + forecast > 0
    return {
        "log_loss": float(log_losses(probabilities, classes).mean()),
        "accuracy": float(hits.sum() / counts.sum()),
        "precision_macro": float((hits / np.maximum(forecast, 1))[seen].mean()),
        "recall_macro": float((hits / np.maximum(happened, 1))[seen].mean()),
        "f1_macro": float((2 * hits / np.maximum(happened + forecast, 1))[seen].mean()),
        "calibration_error": calibration_error(probabilities, classes),
    }


def regression_metrics(predicted: np.ndarray, actual: np.ndarray) -> dict[str, float]:
    """Errors and correlations of n predictions; a correlation with something that does not vary is 0."""
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
        # Spearman's rank correlation, called information coefficient where forecasts are traded.
        "rank_ic": _correlation(_ranks(predicted), _ranks(actual)),
    }


def distribution(values: np.ndarray) -> dict[str, float]:
    """Mean, sample standard deviation, least and greatest of (n,)."""
    return {
        "mean": float(values.mean()),
        "std": float(values.std(ddof=1)),
        "min": float(values.min()),
        "max": float(values.max()),
    }


def implied_returns(expected: np.ndarray, returns: np.ndarray, timestamps: np.ndarray) -> np.ndarray:
    """What trading on the sign of the expected returns earns, without costs: one return a bar, in time's order.

    Each symbol of a bar holds an equal share, long where the expected return is positive and short where negative.
    """
    _, bar = np.unique(timestamps, return_inverse=True)
    return np.bincount(bar, np.sign(expected) * returns) / np.bincount(bar)


def sharpe(returns: np.ndarray, bars_per_year: int) -> float:
    """Mean over sample standard deviation (Sharpe, 1994), annualised; 0 where returns vary by rounding alone."""
    deviation = returns.std(ddof=1)
    return float(returns.mean() / deviation * np.sqrt(bars_per_year)) if deviation > NO_VARIATION else 0.0


def trading_metrics(returns: np.ndarray, bars_per_year: int) -> dict[str, float]:
    """`risk_ratios` of returns (n,), with equity compounded."""
    return risk_ratios(returns, np.concatenate([[1.0], np.cumprod(1 + returns)]), bars_per_year)


def risk_ratios(returns: np.ndarray, equity: np.ndarray, bars_per_year: int) -> dict[str, float]:
    """Annualised Sharpe, Sortino and Calmar ratio, and the drawdown (positive), of returns (n,) and equity (n + 1,).

    Riskless rate and target are 0 (Sharpe, 1994; Sortino & Price, 1994); a ratio without risk below it is 0.
    """
    # Root mean square of the losses alone, over all bars.
    downside = np.sqrt(np.mean(np.minimum(returns, 0) ** 2))
    drawdown = max_drawdown(equity)
    return {
        "sharpe": sharpe(returns, bars_per_year),
        "sortino": float(returns.mean() / downside * np.sqrt(bars_per_year)) if downside > NO_VARIATION else 0.0,
        "calmar": annual_growth(equity, bars_per_year) / drawdown if drawdown > 0 else 0.0,
        "max_drawdown": drawdown,
    }


def annual_growth(equity: np.ndarray, bars_per_year: int) -> float:
    """Compound annual growth rate of equity (n + 1,); -1 where nothing is left."""
    growth = np.maximum(equity[-1] / equity[0], 0)
    return float(growth ** (bars_per_year / (len(equity) - 1)) - 1)


def max_drawdown(equity: np.ndarray) -> float:
    """Largest fall from a peak, as a positive fraction of it."""
    return float((1 - equity / np.maximum.accumulate(equity)).max())


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 0 else 0.0


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[place]
