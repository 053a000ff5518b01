"""Scores of weighted rows against those of repeated rows, and what their intervals promise."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import f1_score, r2_score

from MLOps.statistics import forecasts
from MLOps.statistics.forecast_scores import Outcomes, block_length, resampled_counts, scores, weighted_scores
from MLOps.statistics.returns import sharpe


def drawn(
    seed: int, bars: int, symbols: int = 3, classes: int = 3, skill: float = 0.0, memory: float = 0.0
) -> Outcomes:
    """Calibrated class forecasts; expected returns that share `skill` of their deviation with the actual ones, which
    follow an AR(1) with `memory`."""
    generator = np.random.default_rng(seed)
    n = bars * symbols
    probabilities = generator.dirichlet(np.full(classes, 2.0), n)
    labels = (probabilities.cumsum(axis=1) < generator.random((n, 1))).sum(axis=1)
    noise = generator.standard_normal((bars, symbols))
    actual = np.empty_like(noise)
    state = np.zeros(symbols)
    for bar in range(bars):
        state = memory * state + np.sqrt(1 - memory**2) * noise[bar]
        actual[bar] = state
    expected = skill * actual.ravel() + np.sqrt(1 - skill**2) * generator.standard_normal(n)
    return Outcomes(probabilities, labels, expected, 0.01 * actual.ravel(), np.repeat(np.arange(bars), symbols))


@pytest.mark.parametrize("ties", [False, True])
def test_a_weight_counts_like_so_many_rows(ties: bool) -> None:
    outcomes = drawn(1, 60, skill=0.3)
    if ties:
        outcomes = Outcomes(
            outcomes.probabilities.round(1),
            outcomes.classes,
            outcomes.expected.round(0),
            outcomes.actual.round(2),
            outcomes.bars,
        )
    counts = resampled_counts(60, 5, 4, seed=0)
    weights = counts[:, outcomes.bars]
    found = weighted_scores(outcomes, weights.astype(float), bars_per_year=252)
    for number, weight in enumerate(weights):
        rows = np.repeat(np.arange(len(weight)), weight)
        forecast = outcomes.probabilities[rows].argmax(axis=1)
        expected, actual, classes = outcomes.expected[rows], outcomes.actual[rows], outcomes.classes[rows]
        assert found["f1_macro"][number] == pytest.approx(f1_score(classes, forecast, average="macro"))
        assert found["r2"][number] == pytest.approx(r2_score(actual, expected))
        assert found["rank_ic"][number] == pytest.approx(spearmanr(expected, actual).statistic)
        assert found["calibration_error"][number] == pytest.approx(
            forecasts.calibration_error(outcomes.probabilities[rows], classes)
        )
        # A bar that was drawn twice is two bars.
        earned = forecasts.implied_returns(outcomes.expected, outcomes.actual, outcomes.bars)
        assert found["implied_sharpe"][number] == pytest.approx(sharpe(np.repeat(earned, counts[number]), 252))


def test_memory_is_bounded_and_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes, counts = drawn(2, 100), resampled_counts(100, 5, 50, seed=0)
    whole = scores(outcomes, counts, 0.9, 1, 252)
    monkeypatch.setattr("MLOps.statistics.forecast_scores.WEIGHTS_AT_ONCE", 1)
    for name, estimate in scores(outcomes, counts, 0.9, 1, 252).items():
        expected = (whole[name].value, whole[name].lower, whole[name].upper)
        assert (estimate.value, estimate.lower, estimate.upper) == pytest.approx(expected, rel=1e-9), name


def test_too_few_bars_have_no_interval() -> None:
    outcomes = drawn(3, 40)
    found = scores(outcomes, resampled_counts(40, 20, 20, seed=0), 0.9, 10, None)
    assert {(estimate.lower, estimate.upper) for estimate in found.values()} == {(None, None)}
    assert "implied_sharpe" not in found


def test_intervals_cover_the_truth() -> None:
    """A 90 % interval misses the truth about once in ten times; 60 draws allow for 46 to 60 hits at 3 deviations."""
    repeats, bars = 60, 250
    hits = dict.fromkeys(("calibration_error", "rank_ic", "r2", "implied_sharpe"), 0)
    # Of independent forecasts: no correlation, no Sharpe ratio; expected returns 100 times too large: R² near -10 000.
    truth = {"calibration_error": 0.0, "rank_ic": 0.0, "r2": -10_000.0, "implied_sharpe": 0.0}
    counts = resampled_counts(bars, block_length(bars, 1), 200, seed=5)
    for repeat in range(repeats):
        found = scores(drawn(100 + repeat, bars, symbols=2, memory=0.5), counts, 0.9, 1, 252)
        for name in hits:
            lower, upper = found[name].lower, found[name].upper
            assert lower is not None and upper is not None
            hits[name] += lower <= truth[name] <= upper
    assert all(count >= 46 for count in hits.values()), hits


def test_a_skilled_forecast_is_told_from_an_unskilled_one() -> None:
    counts = resampled_counts(300, 7, 200, seed=0)
    skilled, unskilled = (scores(drawn(7, 300, skill=skill), counts, 0.95, 1, 252) for skill in (0.3, 0.0))
    for name in ("rank_ic", "implied_sharpe"):
        above, at_most = skilled[name].lower, unskilled[name].lower
        assert above is not None and at_most is not None
        assert above > 0 > at_most
