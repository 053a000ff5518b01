"""Forecasts that know no features; a predictor must beat them before anything listens to it."""

import numpy as np

from MLOps.features.labels import UNKNOWN


def class_prior(train_classes: np.ndarray, class_count: int) -> np.ndarray:
    """The share of each class in training, (classes,)."""
    return _shares(train_classes, class_count)


def persistence(train_past: np.ndarray, train_classes: np.ndarray, class_count: int) -> np.ndarray:
    """The share of each class given the newest class known at the bar, (classes + 1, classes).

    Row c answers for bars whose newest known class is c; the last row, the class prior, for bars that know none. A
    class in itself is no probability: these are the shares in training, as for a first-order Markov chain.
    """
    rows = [_shares(train_classes[train_past == c], class_count) for c in range(class_count)]
    return np.stack([*rows, _shares(train_classes, class_count)])


def persist(transitions: np.ndarray, past: np.ndarray) -> np.ndarray:
    """Probabilities (n, classes) for bars with the newest known classes `past` (n,)."""
    return transitions[np.where(past == UNKNOWN, len(transitions) - 1, past)]


def _shares(classes: np.ndarray, class_count: int) -> np.ndarray:
    # One imagined example of each class keeps a class unseen so far from being called impossible (Laplace).
    counts = np.bincount(classes, minlength=class_count) + 1.0
    return counts / counts.sum()
