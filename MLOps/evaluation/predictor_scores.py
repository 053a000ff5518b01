"""The predictors and their ensemble on a span that no choice was made on: scores with intervals, by symbol and year."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from MLOps.data.splits import Span, Splits
from MLOps.evaluation.forecasts import judged
from MLOps.evaluation.verdicts import baselines, horizon_bars
from MLOps.predictors.signals import PROBABILITY, probability_columns, signals_of
from MLOps.statistics.forecast_scores import (
    Estimate,
    Outcomes,
    block_length,
    mean_estimate,
    resampled_counts,
    scores,
)
from MLOps.statistics.forecasts import CALIBRATION_BINS, confusion, log_losses

MIN_PER_BIN = 20  # fewer forecasts make a point of noise


def predictor_scores(
    signals: pd.DataFrame,
    labels: pd.DataFrame,
    splits: Splits,
    confidence: float,
    samples: int,
    bars_per_year: int | None,
    seed: int,
) -> dict[str, Any]:
    """Scores on the test span, as JSON has them.

    Args:
        signals: of all predictors, with the column `predictor`.
        bars_per_year: None for a table without times, which has neither a Sharpe ratio nor years.
        samples: of the bootstrap.

    Returns:
        `span`, `confidence`, `horizon_bars`, and under `predictors` by name `bars`, `rows`, `scores`
        (`forecast_scores.scores`, and the gain over each baseline in nats), the same `by_symbol` and `by_year` where
        there are several, `classes`, `confusion` (what happened by what was forecast) and `calibration` by class.
    """
    span, horizon = splits.test, horizon_bars(labels, splits.test)
    own_labels = labels[span.labelled(labels)]
    timeline = np.unique(own_labels["timestamp"])
    found: dict[str, Any] = {}
    if len(timeline):
        counts = resampled_counts(len(timeline), block_length(len(timeline), horizon), samples, seed)
        for name in dict.fromkeys(signals["predictor"]):
            rows = judged(signals_of(name, signals), own_labels)
            if len(rows):
                found[name] = _of_predictor(rows, timeline, counts, labels, splits, confidence, horizon, bars_per_year)
    return {
        "span": _bounds(span),
        "confidence": confidence,
        "horizon_bars": horizon,
        "predictors": found,
    }


def headline(scored: dict[str, Any]) -> dict[str, float]:
    """The scores over all rows as flat metrics: `<predictor>_<score>`, with `_lower` and `_upper` where they exist."""
    flat = {}
    for predictor, own in scored["predictors"].items():
        for name, estimate in own["scores"].items():
            flat[f"{predictor}_{name}"] = estimate["value"]
            if estimate["lower"] is not None:
                flat |= {f"{predictor}_{name}_{bound}": estimate[bound] for bound in ("lower", "upper")}
    return flat


def _of_predictor(
    rows: pd.DataFrame,
    timeline: np.ndarray,
    counts: np.ndarray,
    labels: pd.DataFrame,
    splits: Splits,
    confidence: float,
    horizon: int,
    bars_per_year: int | None,
) -> dict[str, Any]:
    columns = probability_columns(rows)
    outcomes = Outcomes(
        rows[columns].to_numpy(float),
        rows["label"].to_numpy(int),
        rows["expected_return"].to_numpy(float),
        rows["forward_return"].to_numpy(float),
        np.searchsorted(timeline, rows["timestamp"].to_numpy(timeline.dtype)),
    )
    own_loss = log_losses(outcomes.probabilities, outcomes.classes)
    gains = {
        f"gain_over_{name}": log_losses(forecast(rows), outcomes.classes) - own_loss
        for name, forecast in baselines(labels, splits, len(columns)).items()
    }

    def estimates(chosen: np.ndarray) -> dict[str, Any]:
        part = outcomes.rows(chosen)
        given: dict[str, Estimate] = scores(part, counts, confidence, horizon, bars_per_year)
        given |= {name: mean_estimate(gain[chosen], part.bars, confidence, horizon) for name, gain in gains.items()}
        return {
            "bars": len(np.unique(part.bars)),
            "rows": len(part.bars),
            "scores": {name: asdict(estimate) for name, estimate in given.items()},
        }

    def apart(groups: pd.Series) -> dict[str, Any]:
        names = sorted(groups.unique())
        return {str(name): estimates((groups == name).to_numpy()) for name in names} if len(names) > 1 else {}

    return {
        **estimates(np.ones(len(rows), bool)),
        "by_symbol": apart(rows["symbol"]),
        "by_year": {} if bars_per_year is None else apart(rows["timestamp"].dt.year),
        "classes": [column.removeprefix(PROBABILITY) for column in columns],
        "confusion": confusion(outcomes.classes, outcomes.probabilities.argmax(axis=1), len(columns)).tolist(),
        "calibration": {
            column.removeprefix(PROBABILITY): _calibration(
                outcomes.probabilities[:, number], outcomes.classes == number
            )
            for number, column in enumerate(columns)
        },
    }


def _calibration(probability: np.ndarray, happened: np.ndarray) -> list[dict[str, float]]:
    """Mean forecast and observed frequency in equal bins of the forecast probability of one class."""
    bins = np.minimum((probability * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    return [
        {
            "forecast": float(probability[bins == number].mean()),
            "observed": float(happened[bins == number].mean()),
            "rows": int((bins == number).sum()),
        }
        for number in range(CALIBRATION_BINS)
        if (bins == number).sum() >= MIN_PER_BIN
    ]


def _bounds(span: Span) -> dict[str, str]:
    return {"start": span.start.isoformat(), "end": span.end.isoformat()}
