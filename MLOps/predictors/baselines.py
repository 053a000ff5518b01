"""Forecasts that know no features; a predictor must beat them before anything listens to it."""

import numpy as np

from MLOps.config.labels import UNKNOWN


def class_prior(train_labels: np.ndarray, n_classes: int) -> np.ndarray:
    """The share of each class in training, (classes,)."""
    return _shares(train_labels, n_classes)


def persistence(train_past: np.ndarray, train_labels: np.ndarray, n_classes: int) -> np.ndarray:
    """The share of each class given the newest class known at the bar, (classes + 1, classes).

    Row c answers for bars whose newest known class is c; the last row, the class prior, for bars that know none. A
    class in itself is no probability: these are the shares in training, as for a first-order Markov chain.
    """
    rows = [_shares(train_labels[train_past == c], n_classes) for c in range(n_classes)]
    return np.stack([*rows, _shares(train_labels, n_classes)])


def persist(transitions: np.ndarray, past: np.ndarray) -> np.ndarray:
    """Probabilities (n, classes) for bars with the newest known classes `past` (n,)."""
    return transitions[np.where(past == UNKNOWN, len(transitions) - 1, past)]


def _shares(labels: np.ndarray, n_classes: int) -> np.ndarray:
    # One imagined example of each class keeps a class unseen so far from being called impossible (Laplace).
    counts = np.bincount(labels, minlength=n_classes) + 1.0
    return counts / counts.sum()
