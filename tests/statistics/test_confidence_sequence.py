"""The confidence sequence: the formula, how often it is ever wrong, and what it finds."""

import math

import numpy as np
import pytest

from MLOps.operations.live_comparison import CONFIDENCE, TIGHTEST_AT_DAYS
from MLOps.statistics.confidence_sequence import MIN_VALUES, mean_sequence

DAYS, MARKETS = 500, 2000


def garch(generator: np.random.Generator) -> np.ndarray:
    values, variance = np.empty((MARKETS, DAYS)), np.ones(MARKETS)
    for day in range(DAYS):
        values[:, day] = np.sqrt(variance) * generator.standard_normal(MARKETS)
        variance = 0.05 + 0.1 * values[:, day] ** 2 + 0.85 * variance
    return values


def autocorrelated(generator: np.random.Generator) -> np.ndarray:
    values = generator.standard_normal((MARKETS, DAYS))
    for day in range(1, DAYS):
        values[:, day] += 0.1 * values[:, day - 1]
    return values


EQUAL = {
    "normal": lambda generator: generator.standard_normal((MARKETS, DAYS)),
    "fat tails": lambda generator: generator.standard_t(3, (MARKETS, DAYS)),
    "skewed": lambda generator: generator.exponential(size=(MARKETS, DAYS)) - 1,
    "mostly the same decision": lambda generator: (
        generator.standard_normal((MARKETS, DAYS)) * (generator.random((MARKETS, DAYS)) < 0.2)
    ),
    "volatility clusters": garch,
    "autocorrelation of a tenth": autocorrelated,
}


@pytest.mark.parametrize("kind", EQUAL)
def test_equal_models_are_told_apart_in_five_percent_at_most_of_500_daily_looks(kind: str) -> None:
    lower, upper = mean_sequence(EQUAL[kind](np.random.default_rng(1)), CONFIDENCE, TIGHTEST_AT_DAYS)
    wrong = ((lower > 0) | (upper < 0)).any(axis=1).mean()
    # One standard deviation of the rate is 0.5 %; benchmarks/live_comparison.py draws more.
    assert wrong <= 0.05 + 0.005
    # A fixed-time interval looked at daily would be wrong several times as often.
    assert wrong > 0.005


def test_daily_looks_at_a_fixed_time_interval_are_wrong_far_more_often() -> None:
    values = np.random.default_rng(1).standard_normal((MARKETS, DAYS))
    days = np.arange(1, DAYS + 1)
    score = np.abs(np.cumsum(values, axis=1) / np.sqrt(days))[:, MIN_VALUES - 1 :]
    assert (score > 1.96).any(axis=1).mean() > 0.25


def test_a_difference_of_a_sixth_of_its_deviation_is_found_in_four_of_five() -> None:
    values = np.random.default_rng(2).standard_normal((MARKETS, DAYS)) + 1 / 6
    lower, upper = mean_sequence(values, CONFIDENCE, TIGHTEST_AT_DAYS)
    assert (lower > 0).any(axis=1).mean() >= 0.8
    assert (upper < 0).any(axis=1).mean() < 0.001


def test_it_is_the_formula_written_out() -> None:
    values = np.random.default_rng(3).normal(0.1, 2, 60)
    lower, upper = mean_sequence(values, 0.9, 100)
    rho2 = (2 * math.log(10) + math.log(2 * math.log(10)) + 1) / 100
    for t in (MIN_VALUES, 45, 60):
        own = values[:t]
        half = own.std(ddof=1) * math.sqrt(2 * (t * rho2 + 1) / (t**2 * rho2) * math.log(math.sqrt(t * rho2 + 1) / 0.1))
        assert (lower[t - 1], upper[t - 1]) == pytest.approx((own.mean() - half, own.mean() + half))
    assert np.isinf(lower[: MIN_VALUES - 1]).all()


def test_units_do_not_matter() -> None:
    values = np.random.default_rng(4).normal(0.1, 2, 60)
    bounds = np.stack(mean_sequence(values, 0.9, 100))
    np.testing.assert_allclose(np.stack(mean_sequence(1e-4 * values, 0.9, 100)), 1e-4 * bounds)
