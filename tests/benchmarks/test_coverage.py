"""The intervals of benchmarks.coverage hold the truth as often as they say, and the truth is the truth."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.coverage import CONFIDENCE, OURS, THEIRS, Process, coverage, held, noise
from MLOps.statistics.bootstrap import mean_interval
from MLOps.statistics.sharpe_inference import sharpe_interval

DEPENDENT = replace(OURS, autocorrelation=0.5)


@pytest.mark.parametrize("process", [OURS, THEIRS, DEPENDENT])
def test_the_process_has_the_moments_that_count_as_the_truth(process: Process) -> None:
    returns = process.returns(noise(2000, 500, np.random.default_rng(0)))
    assert returns.mean() == pytest.approx(process.mean, abs=4 * returns.mean(axis=1).std() / np.sqrt(2000))
    assert returns.std() == pytest.approx(process.volatility, rel=0.02)
    centred = returns - process.mean
    assert (centred[:, 1:] * centred[:, :-1]).mean() / (centred**2).mean() == pytest.approx(
        process.autocorrelation, abs=0.01
    )
    squares = centred**2 - (centred**2).mean()
    assert (squares[:, 5:] * squares[:, :-5]).mean() > 0.05 * (squares**2).mean()  # volatility clusters


def test_the_intervals_cover_where_those_for_independent_returns_do_not() -> None:
    """Autocorrelation 0.5; shuffled bars have the intervals that ignore it, which hold three of four."""
    draws, bars = 100, 400
    counts = held(draws, bars, seed=0, resamples=199, our_process=DEPENDENT)
    # 100 draws at 95 %: one standard deviation is 2.2.
    assert all(88 <= count <= 100 for count in counts.values()), counts
    returns = DEPENDENT.returns(noise(draws, bars, np.random.default_rng(1)))
    shuffled = [np.random.default_rng(number).permutation(own) for number, own in enumerate(returns)]
    mean = np.array([mean_interval(own, CONFIDENCE, 199, None, seed=0)[1:] for own in shuffled])
    ratio = np.array([sharpe_interval(own, CONFIDENCE) for own in shuffled])
    for bounds, truth in [(mean, DEPENDENT.mean), (ratio, DEPENDENT.sharpe)]:
        assert ((bounds[:, 0] <= truth) & (truth <= bounds[:, 1])).mean() < 0.86


@pytest.mark.slow
def test_the_intervals_cover_of_a_thousand_draws_of_five_years() -> None:
    figures = coverage(draws=1000, bars=1250, seed=0)
    for name in ("coverage", "coverage_sharpe", "coverage_sharpe_difference"):
        assert 0.93 <= figures[name] <= 0.97, figures
        assert figures[f"{name}_lower"] < figures[name] < figures[f"{name}_upper"]
