"""Forecasts that know no features, by hand: shares in training, with one imagined example of each class."""

import numpy as np
import pytest

from MLOps.config.labels import UNKNOWN
from MLOps.predictors.baselines import class_prior, persist, persistence


def test_the_class_prior_by_hand() -> None:
    assert class_prior(np.array([0, 2, 2, 0, 2]), 3) == pytest.approx([3 / 8, 1 / 8, 4 / 8])
    assert class_prior(np.array([], int), 4) == pytest.approx([1 / 4] * 4)


def test_persistence_by_hand() -> None:
    past = np.array([0, 0, 0, 1, UNKNOWN, 1])
    labels = np.array([0, 0, 1, 1, 0, 1])
    shares = persistence(past, labels, 3)
    assert shares == pytest.approx(
        np.array([[3 / 6, 2 / 6, 1 / 6], [1 / 5, 3 / 5, 1 / 5], [1 / 3, 1 / 3, 1 / 3], [4 / 9, 4 / 9, 1 / 9]])
    )
    given = persist(shares, np.array([1, UNKNOWN, 0, 2]))
    assert given == pytest.approx(shares[[1, 3, 0, 2]])
    assert given.sum(axis=1) == pytest.approx(1)
