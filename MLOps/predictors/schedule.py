"""Learning-rate schedules, the metrics of an epoch, and the choice of the best epoch."""

import math

from MLOps.config.predictors import NetworkConfig
from MLOps.training.direction import is_better

History = list[dict[str, float]]  # the metrics of each finished epoch

EPOCH_METRICS = ("train_loss", "gradient_norm", "learning_rate")
CLASS_METRICS = ("accuracy", "f1_macro")
RETURN_METRICS = ("rmse", "mae", "r2", "rank_ic")


def schedule(config: NetworkConfig, history: History) -> float | None:
    """The learning rate of the epoch that follows `history`; None when training ends."""
    done = len(history)
    best = best_epoch(history, config.monitor)
    if done >= config.max_epochs or done - best >= config.patience_epochs:
        return None
    if config.schedule == "plateau":
        return config.learning_rate * config.plateau_factor ** _plateaus(history, config)
    if config.schedule == "constant":
        return config.learning_rate
    # Half a cosine over all epochs, or over each period between warm restarts (Loshchilov & Hutter, 2017).
    period = config.max_epochs if config.schedule == "cosine" else config.schedule_epochs
    while done >= period:
        done, period = done - period, period * config.t_mult
    height = config.learning_rate - config.eta_min
    return config.eta_min + height * 0.5 * (1 + math.cos(math.pi * done / period))


def best_epoch(history: History, monitor: str) -> int:
    """The first epoch, counted from 1, with the best value of the metric `monitor`; 0 if there is none yet."""
    best = 0
    for epoch, metrics in enumerate(history, 1):
        if best == 0 or is_better(monitor, metrics[monitor], history[best - 1][monitor]):
            best = epoch
    return best


def metric_names(config: NetworkConfig) -> list[str]:
    """The metrics that each epoch reports."""
    names = ["loss", *(CLASS_METRICS if config.class_loss_weight else ()), *RETURN_METRICS, "sharpe_per_bar"]
    return [*EPOCH_METRICS, *(f"selection_{name}" for name in names)]


def _plateaus(history: History, config: NetworkConfig) -> int:
    """Number of times that `schedule_epochs` epochs passed without a new best."""
    count, waited = 0, 0
    for epoch in range(1, len(history) + 1):
        waited = 0 if best_epoch(history[:epoch], config.monitor) == epoch else waited + 1
        if waited == config.schedule_epochs:
            count, waited = count + 1, 0
    return count
