"""Which values of a logged metric are better."""

LOWER_IS_BETTER = ("loss", "mse", "mae", "rmse", "calibration_error", "max_drawdown", "gradient_norm")


def is_better(metric: str, new: float, old: float) -> bool:
    """Whether `new` is better than `old` for the named metric, which may have a prefix, as in selection_loss."""
    return new < old if metric.endswith(LOWER_IS_BETTER) else new > old
