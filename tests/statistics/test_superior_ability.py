"""Superior ability: against arch on standardised differences, another library, and the test written out."""

import holdout
import numpy as np
import pytest
from arch.bootstrap import SPA, StationaryBootstrap, StepM

from MLOps.statistics.bootstrap import stationary_block_bars
from MLOps.statistics.superior_ability import superior_ability_p_value, superior_models
from tests.statistics.series import UNLIKE, autoregressive, returns_like

SAMPLES = 300


def market(name: str, count: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """A benchmark (bars,) and trials (bars, count) of very unlike volatility, among them bad and good ones."""
    benchmark = returns_like(name)[:2000]
    generator = np.random.default_rng(count)
    deviation = benchmark.std()
    scale = np.geomspace(0.1, 10, count) * deviation
    edge = np.linspace(-0.15, 0.1, count) * deviation
    return benchmark, benchmark[:, None] * 0.5 + generator.normal(edge, scale, (len(benchmark), count))


def deviations(excess: np.ndarray, block_bars: int) -> np.ndarray:
    """Of √bars · mean under the stationary bootstrap, lag by lag (Politis & Romano, 1994)."""
    bars, go_on = len(excess), 1 - 1 / block_bars
    centred = excess - excess.mean(axis=0)
    variance = (centred**2).sum(axis=0) / bars
    for lag in range(1, bars):
        weight = (1 - lag / bars) * go_on**lag + lag / bars * go_on ** (bars - lag)
        variance += 2 * weight * (centred[lag:] * centred[:-lag]).sum(axis=0) / bars
    return np.sqrt(variance)


@pytest.mark.parametrize("name", UNLIKE)
def test_it_is_archs_once_the_differences_are_standardised(name: str) -> None:
    benchmark, trials = market(name)
    excess = trials - benchmark[:, None]
    block_bars = stationary_block_bars(excess)
    standardised = excess / deviations(excess, block_bars)
    losses = {"benchmark": np.zeros(len(excess)), "models": -standardised, "block_size": block_bars, "reps": SAMPLES}
    test = SPA(**losses, seed=4)
    test.compute()
    assert superior_ability_p_value(benchmark, trials, SAMPLES, seed=4) == pytest.approx(
        test.pvalues["consistent"], abs=1e-9
    )
    stepwise = StepM(**losses, size=0.2, seed=4)
    stepwise.compute()
    assert superior_models(benchmark, trials, 0.2, SAMPLES, seed=4) == stepwise.superior_models


@pytest.mark.parametrize("name", ["daily", "short"])
def test_it_is_hansens_test_written_out(name: str) -> None:
    benchmark, trials = market(name)
    excess = trials - benchmark[:, None]
    bars, block_bars = len(excess), stationary_block_bars(excess)
    error = deviations(excess, block_bars) / np.sqrt(bars)
    statistic = (excess.mean(axis=0) / error).max()
    poor = excess.mean(axis=0) / error < -np.sqrt(2 * np.log(np.log(bars)))
    centre = np.where(poor, 0, excess.mean(axis=0))
    higher = [
        ((data[0].mean(axis=0) - centre) / error).max() > statistic
        for data, _ in StationaryBootstrap(block_bars, excess, seed=np.random.default_rng(9)).bootstrap(SAMPLES)
    ]
    assert superior_ability_p_value(benchmark, trials, SAMPLES, seed=9) == pytest.approx(np.mean(higher), abs=1e-9)


def test_it_agrees_with_another_library_up_to_the_resampling() -> None:
    """That library draws otherwise, and estimates the standard errors from the draws."""
    for name in ("daily", "outage"):
        benchmark, trials = market(name)
        theirs = holdout.superior_predictive_ability(
            trials - benchmark[:, None], n_bootstrap=2000, seed=1, block_length=stationary_block_bars(trials)
        )
        assert superior_ability_p_value(benchmark, trials, 2000, seed=1) == pytest.approx(theirs.consistent, abs=0.05)


def test_a_volatile_trial_does_not_hide_a_good_one() -> None:
    """As it does where the means are not divided by their standard errors."""
    generator = np.random.default_rng(0)
    benchmark = np.zeros(1000)
    trials = np.stack([generator.normal(0.0002, 0.001, 1000), generator.normal(0, 0.1, 1000)], axis=1)
    plain = SPA(benchmark, -trials, block_size=2, reps=SAMPLES, seed=0)
    plain.compute()
    assert plain.pvalues["consistent"] > 0.2
    assert superior_ability_p_value(benchmark, trials, SAMPLES, seed=0) < 0.01
    assert superior_models(benchmark, trials, 0.05, SAMPLES, seed=0) == [0]


@pytest.mark.parametrize("coefficient", [0.0, 0.3])
def test_trials_without_ability_pass_at_the_nominal_rate(coefficient: float) -> None:
    """150 times ten trials of 300 bars, at 10 %: one standard deviation is 2.4 %."""
    generator = np.random.default_rng(3)
    p_values, named = [], 0
    for number in range(150):
        benchmark, *trials = (autoregressive(coefficient, 300, generator) for _ in range(11))
        p_values.append(superior_ability_p_value(benchmark, np.stack(trials, axis=1), 99, seed=number))
        named += bool(superior_models(benchmark, np.stack(trials, axis=1), 0.1, 99, seed=number))
    assert 0.03 < np.mean(np.array(p_values) <= 0.1) < 0.18
    assert named / 150 < 0.18


def test_the_good_trials_are_named() -> None:
    generator = np.random.default_rng(5)
    trials = generator.normal(0, 0.01, (1000, 12))
    trials[:, [2, 7]] += 0.002
    trials[:, 9] -= 0.01
    assert superior_models(np.zeros(1000), trials, 0.01, SAMPLES, seed=0) == [2, 7]


def test_copies_of_the_benchmark_are_not_superior() -> None:
    benchmark, trials = market("daily")
    copies = np.stack([benchmark, benchmark], axis=1)
    assert superior_ability_p_value(benchmark, copies, 100, seed=0) == 1
    assert superior_models(benchmark, copies, 0.05, 100, seed=0) == []
    beside = np.concatenate([copies, trials], axis=1)
    assert superior_ability_p_value(benchmark, beside, 100, seed=0) == superior_ability_p_value(
        benchmark, trials, 100, seed=0
    )
    assert superior_models(benchmark, beside, 0.3, 100, seed=0) == [
        column + 2 for column in superior_models(benchmark, trials, 0.3, 100, seed=0)
    ]


def test_what_has_no_answer_is_refused() -> None:
    benchmark, trials = market("daily")
    holed = trials.copy()
    holed[3, 2] = np.nan
    for own, models in [
        (benchmark[1:], trials),
        (benchmark, holed),
        (benchmark, trials[:, :0]),
        (benchmark[:15], trials[:15]),
        (benchmark, trials[:, 0]),
    ]:
        with pytest.raises(ValueError, match="expected"):
            superior_ability_p_value(own, models, 100, seed=0)
