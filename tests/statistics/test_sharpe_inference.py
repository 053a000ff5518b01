"""Inference about Sharpe ratios: against published examples, other implementations and formulas written out."""

import math
from typing import Any

import holdout
import numpy as np
import pytest
from scipy import stats

from MLOps.statistics.bootstrap import circular_block_bars
from MLOps.statistics.returns import sharpe
from MLOps.statistics.sharpe_inference import (
    LEAST_BARS,
    Difference,
    deflated_sharpe,
    expected_highest_sharpe,
    min_track_record_bars,
    probabilistic_sharpe,
    sharpe_difference,
    sharpe_interval,
)
from tests.statistics.series import UNLIKE, autoregressive, returns_like, with_moments

CONSTANTS = (0.0, 0.001)


def sharpes(deviation: float, count: int) -> np.ndarray:
    """(count,) with exactly this sample standard deviation."""
    drawn = np.random.default_rng(count).normal(size=count)
    return drawn / drawn.std(ddof=1) * deviation


def test_the_published_probabilities_of_a_hedge_fund() -> None:
    """Bailey & López de Prado (2012): two years of months, Sharpe ratio 0.458 a month."""
    assert probabilistic_sharpe(with_moments(0.458, 0, 3, 24)) == pytest.approx(0.982, abs=5e-4)
    assert probabilistic_sharpe(with_moments(0.458, -2.448, 10.164, 24)) == pytest.approx(0.913, abs=5e-4)


@pytest.mark.parametrize(("bars_per_year", "years"), [(252, 2.73), (52, 2.83), (12, 3.24)])
def test_the_published_track_records(bars_per_year: int, years: float) -> None:
    """Bailey & López de Prado (2012): of an annual Sharpe ratio of 2 against 1, with 95 % confidence."""
    returns = with_moments(2 / np.sqrt(bars_per_year), 0, 3, 200)
    bars = min_track_record_bars(returns, 1 / np.sqrt(bars_per_year), 0.95)
    assert bars / bars_per_year == pytest.approx(years, abs=5e-3)


def test_the_published_deflated_sharpe_ratio() -> None:
    """Bailey & López de Prado (2014): 1 250 days, annual Sharpe ratio 2.5, skewness -3, kurtosis 10, 100 trials."""
    # Skewness -3 with kurtosis 10 has two values only, of which the lower has probability 0.08397: 105 of 1 250 days.
    returns = np.repeat([-1.0, 1.0], [105, 1145])
    returns = (returns - returns.mean()) / returns.std(ddof=1) + 2.5 / np.sqrt(250)
    assert stats.skew(returns) == pytest.approx(-3, abs=1e-3)
    assert stats.kurtosis(returns, fisher=False) == pytest.approx(10, abs=5e-3)
    deviation = np.sqrt(0.5 / 250)
    assert expected_highest_sharpe(deviation, 100) == pytest.approx(0.1132, abs=5e-5)
    assert deflated_sharpe(returns, sharpes(deviation, 100)) == pytest.approx(0.9004, abs=5e-5)


@pytest.mark.parametrize("name", UNLIKE)
@pytest.mark.parametrize("benchmark", [-0.01, 0.0, 0.05])
def test_probabilities_are_those_of_another_library(name: str, benchmark: float) -> None:
    returns = returns_like(name)
    estimate = holdout.estimate_sharpe(returns)
    moments: dict[str, Any] = {"skewness": estimate.skewness, "kurtosis": estimate.kurtosis}
    theirs = holdout.probabilistic_sharpe_ratio(estimate.value, estimate.n, benchmark=benchmark, **moments)
    assert probabilistic_sharpe(returns, benchmark) == pytest.approx(theirs, rel=1e-9)
    deflated = holdout.deflated_sharpe_ratio(
        estimate.value, estimate.n, n_trials=30, trials_variance=0.02**2, **moments
    )
    assert deflated_sharpe(returns, sharpes(0.02, 30)) == pytest.approx(deflated, rel=1e-9)
    bars = min_track_record_bars(returns, benchmark, 0.9)
    if estimate.value <= benchmark:
        assert math.isinf(bars)
    else:
        theirs = holdout.minimum_track_record_length(estimate.value, benchmark=benchmark, confidence=0.9, **moments)
        assert bars == pytest.approx(theirs, rel=1e-9)


def test_the_track_record_is_where_the_probability_reaches_the_confidence() -> None:
    returns = with_moments(0.1, -1, 6, 100)
    needed = min_track_record_bars(returns, 0.02, 0.95)
    repeats = needed / len(returns)
    assert repeats > 3
    assert probabilistic_sharpe(np.tile(returns, math.ceil(repeats * 1.05)), 0.02) > 0.95
    assert probabilistic_sharpe(np.tile(returns, math.floor(repeats * 0.95)), 0.02) < 0.95


@pytest.mark.parametrize("trials", [5, 100, 1000])
def test_the_expected_highest_of_trials_without_skill_is_that_of_draws(trials: int) -> None:
    drawn = np.random.default_rng(trials).normal(0, 0.04, (4000, trials)).max(axis=1)
    assert expected_highest_sharpe(0.04, trials) == pytest.approx(drawn.mean(), rel=0.04)  # the approximation's error


def test_more_trials_and_more_unlike_trials_deflate_more() -> None:
    returns = returns_like("daily")
    by_count = [deflated_sharpe(returns, sharpes(0.02, count)) for count in (2, 10, 100, 1000)]
    assert by_count == sorted(by_count, reverse=True)
    assert probabilistic_sharpe(returns) > by_count[0]
    assert deflated_sharpe(returns, sharpes(0.03, 10)) < by_count[1]
    assert deflated_sharpe(returns, np.array([0.05])) == probabilistic_sharpe(returns)
    assert expected_highest_sharpe(0.02, 1) == 0


def test_deflation_refuses_the_best_of_fifty_without_skill() -> None:
    generator = np.random.default_rng(0)
    fooled = deflated_fooled = 0
    for _ in range(200):
        returns = generator.normal(0, 0.01, (500, 50))
        ratios = returns.mean(axis=0) / returns.std(axis=0, ddof=1)
        best = returns[:, ratios.argmax()]
        fooled += probabilistic_sharpe(best) > 0.95
        deflated_fooled += deflated_sharpe(best, ratios) > 0.95
    assert fooled > 150
    assert deflated_fooled <= 10


@pytest.mark.parametrize("ratio", [0.05, 1.0])
def test_the_interval_of_independent_normal_returns_is_the_closed_form(ratio: float) -> None:
    """Lo (2002): variance (1 + SR²/2) / n."""
    returns = np.random.default_rng(1).normal(ratio, 1, 200_000)
    half = stats.norm.ppf(0.975) * np.sqrt((1 + ratio**2 / 2) / len(returns))
    lower, upper = sharpe_interval(returns, 0.95)
    assert (lower + upper) / 2 == pytest.approx(sharpe(returns, 1), abs=1e-9)
    # 1 368 cosine terms: one standard deviation of the width is 2 %.
    assert (upper - lower) / 2 == pytest.approx(half, rel=0.06)


@pytest.mark.parametrize("coefficient", [-0.3, 0.15, 0.5])
def test_the_interval_of_autocorrelated_normal_returns_is_the_closed_form(coefficient: float) -> None:
    """Of an AR(1): the mean's variance grows by (1 + φ) / (1 - φ) and the volatility's by (1 + φ²) / (1 - φ²)."""
    ratio = 0.8
    returns = ratio + autoregressive(coefficient, 200_000, np.random.default_rng(2))
    squared = coefficient**2
    variance = (1 + coefficient) / (1 - coefficient) + ratio**2 / 2 * (1 + squared) / (1 - squared)
    lower, upper = sharpe_interval(returns, 0.95)
    assert (upper - lower) / 2 == pytest.approx(stats.norm.ppf(0.975) * np.sqrt(variance / len(returns)), rel=0.06)


def test_the_interval_of_skewed_returns_is_the_closed_form() -> None:
    """Mertens (2002): variance (1 - γ₃ SR + (γ₄ - 1)/4 SR²) / n; of exponential returns γ₃ = 2 and γ₄ = 9."""
    returns = np.random.default_rng(3).exponential(1, 200_000) - 0.5
    lower, upper = sharpe_interval(returns, 0.95)
    half = stats.norm.ppf(0.975) * np.sqrt((1 - 2 * 0.5 + 2 * 0.25) / len(returns))
    assert (upper - lower) / 2 == pytest.approx(half, rel=0.06)


def ledoit_wolf(
    ours: np.ndarray, theirs: np.ndarray, confidence: float, samples: int, seed: int, block: int
) -> Difference:
    """The paper's formulas: four moments, their covariance matrix and gradient, block by block."""
    n = len(ours)

    def ratio(r: np.ndarray) -> float:
        return float(r.mean() / r.std(ddof=1))

    def moments(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.column_stack([a, b, a**2, b**2])

    def gradient(v: np.ndarray, count: int) -> np.ndarray:
        a, b, c, d = v
        return np.array(
            [
                c / (c - a**2) ** 1.5,
                -d / (d - b**2) ** 1.5,
                -a / 2 / (c - a**2) ** 1.5,
                b / 2 / (d - b**2) ** 1.5,
            ]
        )

    y = moments(ours, theirs)
    centred = y - y.mean(axis=0)
    terms = int(0.4 * n ** (2 / 3))
    cosines = np.array(
        [[np.sqrt(2 / n) * np.cos(np.pi * j * (t + 0.5) / n) for t in range(n)] for j in range(1, terms + 1)]
    )
    psi = (cosines @ centred).T @ (cosines @ centred) / terms
    slope = gradient(y.mean(axis=0), n)
    value, error = ratio(ours) - ratio(theirs), np.sqrt(slope @ psi @ slope / n)
    starts = np.random.default_rng(seed).integers(0, n, (samples, n // block))
    studentised = []
    for own in starts:
        bars = np.concatenate([(start + np.arange(block)) % n for start in own])
        a, b = ours[bars], theirs[bars]
        y = moments(a, b)
        zeta = (y - y.mean(axis=0)).reshape(len(own), block, 4).sum(axis=1) / np.sqrt(block)
        psi, slope = zeta.T @ zeta / len(own), gradient(y.mean(axis=0), len(a))
        studentised.append((ratio(a) - ratio(b) - value) / np.sqrt(slope @ psi @ slope / len(a)))
    resamples = np.array(studentised)
    half = np.sort(np.abs(resamples))[math.ceil(confidence * (samples - 1))] * error
    p_value = (np.sum(resamples >= value / error) + 1) / (samples + 1)
    return Difference(value, value - half, value + half, float(p_value))


def pair(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Two correlated series over the same bars."""
    ours = returns_like(name)
    return ours, 0.5 * ours + np.random.default_rng(1).normal(0, ours.std(), len(ours))


@pytest.mark.parametrize("name", ["daily", "few trades", "short"])
@pytest.mark.parametrize("block_bars", [None, 1, 7])
def test_the_difference_is_the_papers_formula_written_out(name: str, block_bars: int | None) -> None:
    ours, theirs = pair(name)
    errors = [z - r.mean() / r.std() / 2 * (z**2 - 1) for r in (ours, theirs) for z in [(r - r.mean()) / r.std()]]
    block = block_bars or circular_block_bars(errors[0] - errors[1])
    found = sharpe_difference(ours, theirs, 0.95, samples=200, seed=3, block_bars=block_bars)
    wanted = ledoit_wolf(ours, theirs, 0.95, 200, 3, block)
    assert (found.value, found.lower, found.upper) == pytest.approx(
        (wanted.value, wanted.lower, wanted.upper), rel=1e-9, abs=1e-9
    )
    assert found.p_value == wanted.p_value


def test_the_difference_of_long_independent_series_has_another_librarys_error() -> None:
    """To a few percent: that library has Bartlett's kernel and the normal quantile."""
    generator = np.random.default_rng(5)
    theirs = generator.standard_t(6, 10_000)
    ours = 0.7 * theirs + generator.standard_t(6, 10_000) + 0.3
    found = sharpe_difference(ours, theirs, 0.95, samples=1000, seed=0)
    other = holdout.sharpe_difference(ours, theirs)
    assert found.value == pytest.approx(other.difference, rel=1e-9)
    assert (found.upper - found.lower) / 2 == pytest.approx(stats.norm.ppf(0.975) * other.robust_error, rel=0.1)


def test_the_difference_ignores_leverage_and_turns_its_sign_with_the_order() -> None:
    ours, theirs = pair("daily")
    found = sharpe_difference(ours, theirs, 0.9, 500, seed=1)
    levered = sharpe_difference(3 * ours, 0.1 * theirs, 0.9, 500, seed=1)
    assert (levered.value, levered.lower, levered.upper) == pytest.approx((found.value, found.lower, found.upper))
    turned = sharpe_difference(theirs, ours, 0.9, 500, seed=1)
    assert (turned.value, -turned.upper, -turned.lower) == pytest.approx((-found.value, found.lower, found.upper))
    assert found.p_value + turned.p_value == pytest.approx(1, abs=3 / 500)


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pair("daily")
    whole = sharpe_difference(ours, theirs, 0.9, 100, seed=1, block_bars=5)
    monkeypatch.setattr("MLOps.statistics.sharpe_inference.CHUNK", 250 * 7)
    assert sharpe_difference(ours, theirs, 0.9, 100, seed=1, block_bars=5) == whole


@pytest.mark.parametrize("shape", ["independent", "autocorrelated", "less volatile"])
def test_equal_sharpe_ratios_differ_at_the_nominal_rate(shape: str) -> None:
    """One-sided, at 10 %; 300 pairs of 300 bars, correlated 0.5: one standard deviation is 1.7 %."""
    generator = np.random.default_rng(7)
    coefficient = 0.4 if shape == "autocorrelated" else 0.0
    rejected = 0
    for number in range(300):
        common, first, second = (autoregressive(coefficient, 300, generator) for _ in range(3))
        ours, theirs = (np.sqrt(0.5) * (common + own) + 0.1 for own in (first, second))
        ours = ours * 0.2 if shape == "less volatile" else ours
        rejected += sharpe_difference(ours, theirs, 0.9, 199, seed=number).p_value <= 0.1
    assert 0.05 < rejected / 300 < 0.155


def test_a_higher_sharpe_ratio_is_found() -> None:
    """The same returns with a seventh of the risk, which a comparison of means cannot reward."""
    generator = np.random.default_rng(8)
    theirs = generator.normal(0.0003, 0.01, 1250)
    ours = theirs / 7 + generator.normal(0.0003, 0.0015, 1250)
    found = sharpe_difference(ours, theirs, 0.95, 999, seed=0)
    assert found.lower > 0
    assert found.p_value < 0.01


def test_series_that_never_vary_have_no_error() -> None:
    for constant in CONSTANTS:
        flat = np.full(100, constant)
        assert probabilistic_sharpe(flat) == 0.5
        assert probabilistic_sharpe(flat, 0.1) == pytest.approx(stats.norm.cdf(-0.1 * np.sqrt(99)))
        assert math.isinf(min_track_record_bars(flat, 0.0, 0.95))
        assert sharpe_interval(flat, 0.95) == (0, 0)
        assert sharpe_difference(flat, flat, 0.95, 100, seed=0) == Difference(0, 0, 0, 1)
    varied = returns_like("daily")
    against_flat = sharpe_difference(np.zeros(len(varied)), varied, 0.95, 500, seed=0)
    assert against_flat.value == -sharpe(varied, 1)
    assert (against_flat.lower, against_flat.upper) == pytest.approx(
        [-bound for bound in reversed(sharpe_interval(varied, 0.95))], abs=0.015
    )
    doubled = sharpe_difference(2 * varied, varied, 0.95, 100, seed=0)
    assert (doubled.value, doubled.p_value) == (pytest.approx(0, abs=1e-12), 1)


def test_what_has_no_answer_is_refused() -> None:
    holed, short = np.array([0.1, np.nan] * 50), np.linspace(-1, 1, LEAST_BARS - 1)
    refused = [
        lambda: probabilistic_sharpe(holed),
        lambda: probabilistic_sharpe(np.ones(1)),
        lambda: probabilistic_sharpe(np.ones((50, 2))),
        lambda: deflated_sharpe(np.arange(9.0), np.array([])),
        lambda: deflated_sharpe(np.arange(9.0), np.array([0.1, np.nan])),
        lambda: expected_highest_sharpe(0.1, 0),
        lambda: expected_highest_sharpe(-0.1, 3),
        lambda: min_track_record_bars(np.arange(9.0), 0.0, 1.0),
        lambda: min_track_record_bars(np.arange(9.0), 0.0, 0.3),
        lambda: sharpe_interval(short, 0.95),
        lambda: sharpe_interval(holed, 0.95),
        lambda: sharpe_difference(short, short, 0.95, 100, seed=0),
        lambda: sharpe_difference(np.arange(50.0), np.arange(51.0), 0.95, 100, seed=0),
        lambda: sharpe_difference(np.arange(100.0), holed, 0.95, 100, seed=0),
    ]
    for call in refused:
        with pytest.raises(ValueError, match="expected"):
            call()
