"""Scores of a predictor's signals against the labels."""

import numpy as np
import pandas as pd

from MLOps.data.bars import KEYS
from MLOps.predictors.signals import probability_columns
from MLOps.statistics import forecasts, returns


def judged(signals: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """The rows with both a forecast and a label, sorted by time and symbol."""
    outcomes = labels[[*KEYS, "label", "past_label", "forward_return"]]
    both = signals.merge(outcomes, on=list(KEYS), validate="one_to_one")
    return both.sort_values(list(KEYS), ignore_index=True)


def classification_metrics(signals: pd.DataFrame, labels: pd.DataFrame, prefix: str = "") -> dict[str, float]:
    """`forecasts.classification_metrics` over the rows that have both a forecast and a label."""
    rows = judged(signals, labels)
    probabilities, classes = rows[probability_columns(rows)].to_numpy(float), rows["label"].to_numpy(int)
    return {
        f"{prefix}{name}": value for name, value in forecasts.classification_metrics(probabilities, classes).items()
    }


def forecast_metrics(signals: pd.DataFrame, labels: pd.DataFrame, prefix: str = "") -> dict[str, float]:
    """Scores of a forecast's classes and expected returns, both distributions, and the returns of implied positions.

    Nothing is annualised: see `implied_metrics`.
    """
    rows = judged(signals, labels)
    expected, actual = rows["expected_return"].to_numpy(float), rows["forward_return"].to_numpy(float)
    per_bar = returns.trading_metrics(_implied_returns(rows), bars_per_year=1)
    scores = {
        **forecasts.regression_metrics(expected, actual),
        **{f"expected_return_{name}": value for name, value in returns.distribution(expected).items()},
        **{f"forward_return_{name}": value for name, value in returns.distribution(actual).items()},
        "implied_sharpe_per_bar": per_bar["sharpe"],
        "implied_max_drawdown": per_bar["max_drawdown"],
    }
    return {
        **classification_metrics(signals, labels, prefix),
        **{f"{prefix}{name}": value for name, value in scores.items()},
    }


def implied_metrics(
    signals: pd.DataFrame, labels: pd.DataFrame, bars_per_year: int, prefix: str = ""
) -> dict[str, float]:
    """Annualised ratios of the positions that a forecast implies; see `forecasts.implied_returns`."""
    earned = _implied_returns(judged(signals, labels))
    return {f"{prefix}{name}": value for name, value in returns.trading_metrics(earned, bars_per_year).items()}


def _implied_returns(rows: pd.DataFrame) -> np.ndarray:
    expected, actual = rows["expected_return"].to_numpy(float), rows["forward_return"].to_numpy(float)
    return forecasts.implied_returns(expected, actual, rows["timestamp"].to_numpy())


def confusion(signals: pd.DataFrame, labels: pd.DataFrame) -> np.ndarray:
    """`forecasts.confusion` over the rows that have both a forecast and a label."""
    rows = judged(signals, labels)
    return forecasts.confusion(rows["label"].to_numpy(int), rows["class"].to_numpy(int), len(probability_columns(rows)))
