"""What predictors learn to foresee; every label knows when it becomes known."""

import numpy as np
import pandas as pd

from MLOps.config.params import LabelConfig
from MLOps.data.bars import KEYS

CLASSES = ("fall", "stationary", "rise")
UNKNOWN = -1  # the class of a row whose future the bars do not hold


def classify(move: np.ndarray, threshold_delta: float) -> np.ndarray:
    """0 below -threshold, 2 above it, 1 between; UNKNOWN where the move is NaN."""
    classes = 1 + (move > threshold_delta).astype(np.int8) - (move < -threshold_delta).astype(np.int8)
    return np.where(np.isnan(move), UNKNOWN, classes).astype(np.int8)


def make_labels(bars: pd.DataFrame, config: LabelConfig) -> pd.DataFrame:
    """Fall/Stationary/Rise by the smoothed future mean, and the next bar's return.

    move(t) = mean(close[t+1 … t+k]) / close[t] - 1, in the manner of Ntakaris et al. (2018) for order books.

    Returns:
        A table with the bars' keys and `label` (int8, UNKNOWN at a symbol's end), `forward_return` (float64, the next
        bar's close against this one's, the part of the label's horizon that a position held for one bar earns),
        `label_end` (the timestamp of bar t+k, NaT where it is not there), and `past_label`, the class of the newest
        label already known at bar t: that of bar t-k.
    """
    k = config.smoothing_k
    tables = []
    for _, own in bars.groupby("symbol", sort=False):
        close = own["close"].to_numpy()
        future = np.full(len(close), np.nan)
        ends = pd.Series(pd.NaT, index=own.index, dtype=own["timestamp"].dtype)
        if len(close) > k:
            windows = np.lib.stride_tricks.sliding_window_view(close[1:], k)
            future[:-k] = windows.mean(axis=1) / close[:-k] - 1
            ends = own["timestamp"].shift(-k)
        label = classify(future, config.threshold_delta)
        past = np.full(len(close), UNKNOWN, dtype=np.int8)
        past[k:] = label[: len(close) - k] if len(close) > k else past[k:]
        tables.append(
            own.loc[:, list(KEYS)].assign(
                label=label,
                forward_return=own["close"].shift(-1) / own["close"] - 1,
                label_end=ends,
                past_label=past,
            )
        )
    return pd.concat(tables, ignore_index=True)
