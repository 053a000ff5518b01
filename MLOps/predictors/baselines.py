"""Baseline forecasts without features, which a predictor must beat to pass validation."""

import numpy as np

from MLOps.config.labels import UNKNOWN


def class_prior(train_labels: np.ndarray, n_classes: int) -> np.ndarray:
    """The frequency of each class in training, (classes,)."""
    return _shares(train_labels, n_classes)


def persistence(train_past: np.ndarray, train_labels: np.ndarray, n_classes: int) -> np.ndarray:
    """The frequency of each class given the newest class known at the bar, (classes + 1, classes).

    Row c is for bars whose newest known class is c; the last row, the class prior, for bars without a known class.
    Frequencies are those in training: the transition matrix of a first-order Markov chain.
    """
    rows = [_shares(train_labels[train_past == c], n_classes) for c in range(n_classes)]
    return np.stack([*rows, _shares(train_labels, n_classes)])


def persist(transitions: np.ndarray, past: np.ndarray) -> np.ndarray:
    """Probabilities (n, classes) for bars whose newest known classes are `past` (n,)."""
    return transitions[np.where(past == UNKNOWN, len(transitions) - 1, past)]


def _shares(labels: np.ndarray, n_classes: int) -> np.ndarray:
    # Laplace smoothing: one added example per class, so that no class has probability 0.
    counts = np.bincount(labels, minlength=n_classes) + 1.0
    return counts / counts.sum()
