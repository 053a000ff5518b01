"""Sketches against NumPy's quantiles, scores against ranks, and what the joint channels see."""

import numpy as np
import pytest
from scipy.stats import norm, rankdata

from MLOps.monitoring.channels import FOLDS, KNOTS, LEAST_VALUES, Channels, Kind, Sketch, out_of_fold

KINDS: tuple[Kind, ...] = ("level", "spread", "given the others", "misfit")


def values(bars: int = 600, symbols: int = 2, names: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(bars, symbols, names))


def test_a_sketch_has_the_quantiles_of_the_known_values() -> None:
    given = values()
    given[:100, 1] = np.nan
    given[:, 0, 2] = np.round(given[:, 0, 2])
    knots = Sketch.fit(given).knots
    for symbol in range(2):
        for name in range(3):
            own = given[:, symbol, name]
            expected = np.quantile(own[np.isfinite(own)], np.linspace(0, 1, KNOTS))
            np.testing.assert_allclose(knots[symbol, name], expected)


def test_scores_are_the_normal_scores_of_the_ranks() -> None:
    given = values(bars=2000, symbols=1, names=1)
    scores = Sketch.fit(given).scores(given)[:, 0, 0]
    exact = norm.ppf((rankdata(given[:, 0, 0]) - 0.5) / 2000)
    middle = np.abs(exact) < 2
    np.testing.assert_allclose(scores[middle], exact[middle], atol=0.05)
    assert np.abs(scores).max() < 4  # no value, however far, counts without bound
    assert np.abs(Sketch.fit(given).scores(np.full((1, 1, 1), 1e9))).max() < 4


def test_values_that_many_share_have_the_middle_of_their_ranks() -> None:
    given = np.repeat([0.0, 1.0], [300, 300])[:, None, None]
    scores = Sketch.fit(given).scores(given)[:, 0, 0]
    np.testing.assert_allclose(scores[[0, -1]], norm.ppf([0.25, 0.75]), atol=0.05)
    constant = np.zeros((300, 1, 1))
    assert Sketch.fit(constant).scores(constant)[0, 0, 0] == pytest.approx(0, abs=1e-9)


def test_what_is_not_known_has_no_score() -> None:
    given = values()
    given[LEAST_VALUES - 1 :, 0, 1] = np.nan  # too little to have a distribution
    given[5, 1, 0] = np.nan
    scores = Sketch.fit(given).scores(given)
    assert np.isnan(scores[:, 0, 1]).all()
    assert np.isnan(scores[5, 1, 0]) and np.isfinite(scores[6, 1, 0])


def test_a_value_in_its_range_that_contradicts_the_others_shows_in_the_joint_channels() -> None:
    given = values(names=2)
    given[..., 1] = given[..., 0] + 0.1 * given[..., 1]
    channels = Channels.fit(given, KINDS)
    changed = given.copy()
    changed[..., 1] = -changed[..., 1]
    before, after = (np.abs(channels.deviations(own).mean(axis=0)) for own in (given, changed))
    assert np.allclose(before, 0, atol=1e-9)
    assert after[[1, 3]].max() < 0.2  # level and spread of the changed name
    assert after[7] > 1  # its misfit


def test_deviations_out_of_fold_do_not_see_their_own_bars() -> None:
    given = values()
    fold = len(given) // FOLDS
    changed = given.copy()
    changed[:fold] += 100.0
    plain, moved = out_of_fold(given, ("level",)), out_of_fold(changed, ("level",))
    assert plain.shape == (600, 3)
    assert moved[:fold].min() > 2
