"""The bootstrap's interval holds the mean as often as it says, with blocks that the data choose."""

import numpy as np
import pytest
from arch.bootstrap import StationaryBootstrap, optimal_block_length

from MLOps.statistics.bootstrap import (
    block_sums,
    circular_block_bars,
    mean_interval,
    shares_of_highest_mean,
    stationary_block_bars,
)
from tests.statistics.series import autoregressive, returns_like

DRAWS = 200


def covered(coefficient: float, bars: int, block_bars: int | None) -> float:
    """Share of 90 % intervals of AR(1) series with mean 0 that hold it."""
    generator = np.random.default_rng(bars)
    held = 0
    for number in range(DRAWS):
        _, lower, upper = mean_interval(autoregressive(coefficient, bars, generator), 0.9, 99, block_bars, seed=number)
        held += lower <= 0 <= upper
    return held / DRAWS


@pytest.mark.parametrize(("coefficient", "bars", "block_bars"), [(0.3, 400, 10), (0.4, 300, None), (0.0, 100, None)])
def test_the_interval_covers_the_mean_as_often_as_it_says(
    coefficient: float, bars: int, block_bars: int | None
) -> None:
    # 200 draws: one standard deviation is 2.1 %.
    assert 0.83 < covered(coefficient, bars, block_bars) < 0.96


def test_it_covers_where_the_percentile_interval_covers_too_rarely() -> None:
    """60 bars with autocorrelation 0.4."""
    generator, percentile = np.random.default_rng(60), 0
    for number in range(DRAWS):
        series = autoregressive(0.4, 60, generator)
        bootstrap = StationaryBootstrap(stationary_block_bars(series), series, seed=np.random.default_rng(number))
        lower, upper = bootstrap.conf_int(np.mean, 99, method="percentile", size=0.9)[:, 0]
        percentile += lower <= 0 <= upper
    assert percentile / DRAWS < 0.81
    assert covered(0.4, 60, None) > 0.84


def test_the_interval_is_the_studentised_bootstrap_written_out() -> None:
    series, samples = returns_like("daily")[:200], 150
    terms = int(0.4 * 200 ** (2 / 3))
    cosines = np.sqrt(2 / 200) * np.cos(np.pi * np.outer(np.arange(1, terms + 1), np.arange(200) + 0.5) / 200)

    def error(values: np.ndarray) -> float:
        return float(np.sqrt(np.mean((cosines @ values) ** 2) / 200))

    draws = [data[0] for data, _ in StationaryBootstrap(4, series, seed=np.random.default_rng(3)).bootstrap(samples)]
    errors = [(draw.mean() - series.mean()) / error(draw) for draw in draws]
    low, high = np.quantile(errors, [0.05, 0.95])
    wanted = (series.mean(), series.mean() - high * error(series), series.mean() - low * error(series))
    assert mean_interval(series, 0.9, samples, 4, seed=3) == pytest.approx(wanted, rel=1e-9)


def test_the_interval_is_linear_in_the_series() -> None:
    series = returns_like("hourly")[:2000]
    _, lower, upper = mean_interval(series, 0.95, 200, None, seed=1)
    shifted = mean_interval(5 - 3 * series, 0.95, 200, None, seed=1)
    flipped = mean_interval(-series, 0.95, 200, None, seed=1)
    assert shifted == pytest.approx((5 - 3 * series.mean(), 5 + 3 * flipped[1], 5 + 3 * flipped[2]))
    assert flipped == pytest.approx((-series.mean(), -upper, -lower))


@pytest.mark.parametrize("coefficient", [0.2, 0.5, 0.8])
def test_the_block_length_of_an_autoregression_is_the_closed_form(coefficient: float) -> None:
    """Politis & White (2004): (2 φ / (1 - φ²))^(2/3) n^(1/3) for the stationary bootstrap."""
    generator, bars = np.random.default_rng(1), 20_000
    lengths = [stationary_block_bars(autoregressive(coefficient, bars, generator)) for _ in range(20)]
    assert np.median(lengths) == pytest.approx(
        (2 * coefficient / (1 - coefficient**2)) ** (2 / 3) * bars ** (1 / 3), rel=0.15
    )


def test_block_lengths_are_archs_rounded_up() -> None:
    generator = np.random.default_rng(2)
    series = np.stack([autoregressive(0.5, 500, generator), autoregressive(0.1, 500, generator)], axis=1)
    arch = optimal_block_length(series)
    assert stationary_block_bars(series[:, 0]) == np.ceil(arch["stationary"][0])
    assert circular_block_bars(series[:, 0]) == np.ceil(arch["circular"][0])
    assert stationary_block_bars(series) == np.ceil(arch["stationary"].mean())
    with_a_constant = np.concatenate([series, np.full((500, 1), 0.3)], axis=1)
    assert stationary_block_bars(with_a_constant) == stationary_block_bars(series)


@pytest.mark.parametrize("bars", [4, 5, 12, 16, 17, 40])
def test_short_and_constant_series_have_a_block_length_and_an_interval(bars: int) -> None:
    short = np.random.default_rng(bars).normal(size=bars)
    assert 1 <= stationary_block_bars(short) <= bars
    assert 1 <= circular_block_bars(short) <= bars
    mean, lower, upper = mean_interval(short, 0.9, 200, None, seed=0)
    assert lower < mean < upper
    assert mean_interval(np.full(bars, 0.25), 0.9, 200, None, seed=0) == (0.25, 0.25, 0.25)
    assert stationary_block_bars(np.full(20, 0.25)) == 1


def test_a_few_trades_have_an_interval() -> None:
    """Many resamples of three trades hold none of them."""
    series = np.zeros(500)
    series[[100, 200, 400]] = [0.01, 0.02, -0.005]
    mean, lower, upper = mean_interval(series, 0.95, 500, None, seed=0)
    assert -0.001 < lower < mean < upper < 0.001


@pytest.mark.parametrize("block_bars", [1, 3, 10])
def test_block_sums_go_round(block_bars: int) -> None:
    series = np.random.default_rng(0).normal(size=10)
    wanted = [sum(series[(start + step) % 10] for step in range(block_bars)) for start in range(10)]
    assert block_sums(series, block_bars) == pytest.approx(wanted)


def test_shares_of_the_highest_mean_choose_their_blocks() -> None:
    series = np.random.default_rng(0).normal(0.5, 1, (200, 2)) * [1, 0.2]
    chosen = shares_of_highest_mean(series, samples=200, block_bars=None, seed=0)
    assert chosen.tolist() == shares_of_highest_mean(series, 200, stationary_block_bars(series), seed=0).tolist()


def test_what_has_no_answer_is_refused() -> None:
    for series in [np.arange(3.0), np.array([1.0, np.nan, 2.0, 3.0, 4.0]), np.ones((4, 2))]:
        with pytest.raises(ValueError, match="expected"):
            mean_interval(series, 0.9, 100, None, seed=0)
