"""Labels that predictors forecast, and the time at which each becomes known."""

from statistics import NormalDist

import numpy as np
import pandas as pd

from MLOps.config.labels import (
    UNKNOWN,
    LabelConfig,
    NextReturnLabelConfig,
    ScoreLabelConfig,
    SmoothedLabelConfig,
    TargetLabelConfig,
    TripleBarrierLabelConfig,
)
from MLOps.data.bars import KEYS, TARGET
from MLOps.data.splits import LearningSplits
from MLOps.errors import UserError
from MLOps.features.windows import lagged_log_return, rolling_std

DOMINANT = 0.8  # share of the rows from which on one class is worth a warning


def classify(move: np.ndarray, threshold_delta: float) -> np.ndarray:
    """0 below -threshold, 2 above threshold, 1 between; UNKNOWN if the move is NaN."""
    classes = 1 + (move > threshold_delta).astype(np.int8) - (move < -threshold_delta).astype(np.int8)
    return np.where(np.isnan(move), UNKNOWN, classes).astype(np.int8)


def make_labels(bars: pd.DataFrame, config: LabelConfig) -> pd.DataFrame:
    """Labels of all bars, or rows of a labelled table; the functions below give the formula of each kind.

    Returns:
        A table with the bars' keys and `label` (int8, UNKNOWN if the bars it needs do not exist), `forward_return`
        (float64, return from this close to the next, the part of the label's horizon that a position held for one bar
        earns; for a labelled table the target itself), `label_end` (timestamp of the last bar that the label looks at,
        NaT if unknown), and `past_label`, the class of the newest label already known at the bar.

    Raises:
        UserError: a target is not one of the possible scores.
    """
    tables = []
    for _, own in bars.groupby("symbol", sort=False):
        label, last = _label(own, config)
        ends = own["timestamp"].to_numpy()[np.maximum(last, 0)]
        tables.append(
            own.loc[:, list(KEYS)].assign(
                label=label,
                forward_return=own[TARGET] if TARGET in own else own["close"].shift(-1) / own["close"] - 1,
                label_end=pd.Series(ends, index=own.index, dtype=own["timestamp"].dtype).where(last >= 0),
                past_label=_newest_known(label, last),
            )
        )
    return pd.concat(tables, ignore_index=True)


def require_classes(labels: pd.DataFrame, class_names: tuple[str, ...], splits: LearningSplits) -> None:
    """Check that a predictor can learn every class.

    Raises:
        UserError: a class does not occur in the training span, or in its part `fitting`.
    """
    for where, span in (("the training span", splits.train), ("its part before splits.selection", splits.fitting)):
        present = set(labels.loc[span.labelled(labels), "label"].unique())
        if missing := [name for number, name in enumerate(class_names) if number not in present]:
            raise UserError(
                f"labels: every class must occur in {where}, {', '.join(missing)} never does from "
                f"{span.start.date()} to {span.end.date()}; change the labels section of params.yaml or add bars"
            )


def unbalanced(labels: pd.Series, class_names: tuple[str, ...]) -> str | None:
    """A warning if nearly all rows have one class, as with a threshold for daily bars on bars of minutes."""
    shares = labels.value_counts(normalize=True)
    if shares.max() < DOMINANT:
        return None
    return (
        f"{shares.max():.0%} of the training rows are {class_names[int(shares.idxmax())]}; for classes of like "
        "frequency change labels.threshold_delta, or set labels.kind to score, whose classes follow the volatility"
    )


def _label(own: pd.DataFrame, config: LabelConfig) -> tuple[np.ndarray, np.ndarray]:
    """Classes (bars,) int8, and the index of the last bar that each looks at, -1 if unknown."""
    if isinstance(config, TargetLabelConfig):
        return target(own[TARGET].to_numpy(), config.n_classes, config.horizon_rows)
    close = own["close"].to_numpy()
    match config:
        case SmoothedLabelConfig():
            return smoothed(close, config.smoothing_k, config.threshold_delta)
        case NextReturnLabelConfig():
            return smoothed(close, 1, config.threshold_delta)
        case ScoreLabelConfig():
            return score(close, config.horizon_bars, config.n_classes, config.volatility_bars)
        case TripleBarrierLabelConfig():
            return triple_barrier(close, config)


def smoothed(close: np.ndarray, k: int, threshold_delta: float) -> tuple[np.ndarray, np.ndarray]:
    """Class of mean(close[t+1 … t+k]) / close[t] - 1, as Ntakaris et al. (2018) define it for order books."""
    move = np.full(len(close), np.nan)
    if len(close) > k:
        move[:-k] = np.lib.stride_tricks.sliding_window_view(close[1:], k).mean(axis=1) / close[:-k] - 1
    return classify(move, threshold_delta), _last_bars(np.isfinite(move), k)


def score(close: np.ndarray, horizon: int, n_classes: int, volatility_bars: int) -> tuple[np.ndarray, np.ndarray]:
    """Class of log(close[t+h] / close[t]) / (σ[t] sqrt(h)) between the normal distribution's quantiles i / n_classes.

    σ[t] is the standard deviation of the `volatility_bars` log returns up to bar t. The classes are ordered and about
    equally frequent, like the five scores of tournament targets.
    """
    move = np.full(len(close), np.nan)
    if len(close) > horizon:
        move[:-horizon] = np.log(close[horizon:] / close[:-horizon])
    scores = move / _volatility(close, volatility_bars, horizon)
    edges = [NormalDist().inv_cdf(i / n_classes) for i in range(1, n_classes)]
    known = np.isfinite(scores)
    return np.where(known, np.searchsorted(edges, scores), UNKNOWN).astype(np.int8), _last_bars(known, horizon)


def triple_barrier(close: np.ndarray, config: TripleBarrierLabelConfig) -> tuple[np.ndarray, np.ndarray]:
    """Rise or fall when a close of the next h bars reaches the upper or lower barrier first, else stationary.

    Barriers lie at log distances of `upper_volatilities` and `lower_volatilities` times σ[t] sqrt(h). The label looks
    no further than the bar that decides it. López de Prado, Advances in Financial Machine Learning (2018), chapter 3.
    """
    bars, horizon = len(close), config.horizon_bars
    reach = _volatility(close, config.volatility_bars, horizon)
    label, last = np.full(bars, UNKNOWN, dtype=np.int8), np.full(bars, -1)
    way = np.log(close)
    for t in np.flatnonzero(np.isfinite(reach)):
        path = way[t + 1 : t + 1 + horizon] - way[t]
        above, below = path >= config.upper_volatilities * reach[t], path <= -config.lower_volatilities * reach[t]
        touched = above | below
        if touched.any():
            first = int(np.argmax(touched))
            label[t], last[t] = 2 if above[first] else 0, t + 1 + first
        elif len(path) == horizon:
            label[t], last[t] = 1, t + horizon
    return label, last


def target(scores: np.ndarray, n_classes: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Class of a given score in [-1, 1] that looks `horizon` rows ahead; UNKNOWN if that is beyond the table.

    Raises:
        UserError: a score is not one of the evenly spaced values.
    """
    place = (scores + 1) / 2 * (n_classes - 1)
    wrong = np.isfinite(scores) & ((np.abs(place - np.rint(place)) > 1e-6) | (np.abs(scores) > 1))
    if wrong.any():
        values = ", ".join(f"{value:g}" for value in np.linspace(-1, 1, n_classes))
        row = int(np.argmax(wrong))
        raise UserError(
            f"labels: expected each target to be one of {values}, found {scores[row]:g} at row {row} and "
            f"{int(wrong.sum())} such rows; correct them or labels.n_classes"
        )
    known = np.isfinite(scores) & (np.arange(len(scores)) + horizon < len(scores))
    return np.where(known, np.rint(place), UNKNOWN).astype(np.int8), _last_bars(known, horizon)


def _volatility(close: np.ndarray, bars: int, horizon: int) -> np.ndarray:
    """σ[t] sqrt(h); NaN if unknown or 0."""
    deviation = rolling_std(lagged_log_return(close, 1), bars)
    return np.where(deviation > 0, deviation, np.nan) * np.sqrt(horizon)


def _last_bars(known: np.ndarray, horizon: int) -> np.ndarray:
    return np.where(known, np.arange(len(known)) + horizon, -1)


def _newest_known(label: np.ndarray, last: np.ndarray) -> np.ndarray:
    """For each bar, the newest label whose last bar is at or before it."""
    newest = np.full(len(label), -1)
    known = np.flatnonzero(last >= 0)
    np.maximum.at(newest, last[known], known)
    newest = np.maximum.accumulate(newest)
    return np.where(newest >= 0, label[newest], UNKNOWN).astype(np.int8)
