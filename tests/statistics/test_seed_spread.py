"""Statistics over seeds: by hand, against their definitions, and the coverage of the interval."""

import numpy as np
import pytest

from MLOps.statistics.seed_spread import seed_spread


def test_outliers_at_both_ends_do_not_count() -> None:
    spread = seed_spread([3.0, -1000.0, 1.0, 2.0, 4.0, 1000.0, -900.0, 900.0], seed=0)
    assert spread["iqm"] == spread["median"] == 2.5
    # NumPy's quartiles lie between the second and the third value of each end.
    assert spread["iqr"] == pytest.approx(228.0 + 224.25)


def test_the_interval_holds_the_mean_and_widens_with_the_noise() -> None:
    draws = np.random.default_rng(1).normal(size=20)
    narrow, wide = (seed_spread((scale * draws).tolist(), seed=0) for scale in (1.0, 3.0))
    assert narrow["iqm_lower"] < narrow["iqm"] < narrow["iqm_upper"]
    assert wide["iqm_upper"] - wide["iqm_lower"] == pytest.approx(3 * (narrow["iqm_upper"] - narrow["iqm_lower"]))
    assert seed_spread(draws[::-1].tolist(), seed=0)["iqm"] == pytest.approx(narrow["iqm"]), "the order is no matter"


def test_the_interval_covers_the_centre_nearly_as_often_as_it_says() -> None:
    generator = np.random.default_rng(2)
    covered = 0
    for number in range(300):
        spread = seed_spread(generator.normal(size=20).tolist(), seed=number)
        covered += spread["iqm_lower"] <= 0 <= spread["iqm_upper"]
    # A percentile bootstrap of 20 values covers a little less than 95 %; four standard deviations are 0.05.
    assert 0.86 <= covered / 300 <= 0.99


def test_one_seed_has_no_interval() -> None:
    assert seed_spread([0.25], seed=0) == {"median": 0.25, "iqm": 0.25, "iqr": 0.0}
