"""The interval for the mean of an overlapping series: against its formula written out, and how often it is wrong."""

import numpy as np
import pytest
from arch.bootstrap import StationaryBootstrap
from scipy import stats

from MLOps.statistics.dependent_mean import interval, required_bars

CONFIDENCE = 0.9  # two-sided, so that a lower bound above the mean has a nominal rate of 5 %
SERIES = 3000


def overlapping(overlap_bars: int, bars: int, count: int, generator: np.random.Generator) -> np.ndarray:
    """(count, bars) scaled sums of `overlap_bars` neighbours in normal noise, as labels overlap: mean 0, variance 1."""
    noise = generator.standard_normal((count, bars + overlap_bars))
    total = np.cumsum(noise, axis=1)
    return (total[:, overlap_bars:] - total[:, :-overlap_bars]) / np.sqrt(overlap_bars)


def rate_above(series: np.ndarray, overlap_bars: int) -> float:
    """How often the interval lies above 0."""
    intervals = (interval(own, CONFIDENCE, overlap_bars) for own in series)
    return float(np.mean([given is not None and given[0] > 0 for given in intervals]))


@pytest.mark.parametrize(("overlap_bars", "bars"), [(1, 32), (1, 219), (5, 215), (60, 1000)])
def test_it_is_the_formula_written_out(overlap_bars: int, bars: int) -> None:
    series = np.random.default_rng(bars).normal(0.1, 1, bars)
    terms = min(int(0.4 * bars ** (2 / 3)), bars // (3 * overlap_bars))
    weights = [
        sum(np.sqrt(2 / bars) * np.cos(np.pi * j * (t + 0.5) / bars) * series[t] for t in range(bars))
        for j in range(1, terms + 1)
    ]
    half = stats.t(terms).ppf(0.95) * np.sqrt(sum(w**2 for w in weights) / terms / bars)
    assert interval(series, CONFIDENCE, overlap_bars) == pytest.approx((series.mean() - half, series.mean() + half))


@pytest.mark.parametrize("overlap_bars", [1, 2, 5, 20, 60])
def test_too_few_bars_give_no_interval(overlap_bars: int) -> None:
    needed = required_bars(overlap_bars)
    assert needed >= 12 * overlap_bars
    series = np.random.default_rng(0).normal(size=needed)
    assert interval(series, CONFIDENCE, overlap_bars) is not None
    assert interval(series[1:], CONFIDENCE, overlap_bars) is None


@pytest.mark.parametrize(
    ("overlap_bars", "bars"), [(1, 60), (1, 219), (1, 490), (5, 60), (5, 215), (20, 240), (20, 470), (60, 720)]
)
def test_a_mean_of_nothing_is_found_at_the_nominal_rate(overlap_bars: int, bars: int) -> None:
    series = overlapping(overlap_bars, bars, SERIES, np.random.default_rng([overlap_bars, bars]))
    # 3 000 series: one standard deviation of the rate is 0.4 %; the estimated variance is about 3 % too small.
    assert 0.035 < rate_above(series, overlap_bars) < 0.067


def test_blocks_of_ten_bars_and_ignored_overlaps_find_nothing_too_often() -> None:
    """What this interval replaces: the stationary bootstrap with blocks of 10 bars, for labels of 60."""
    series = overlapping(60, 490, 150, np.random.default_rng(3))
    bounds = [
        StationaryBootstrap(10, own, seed=np.random.default_rng(number)).conf_int(
            np.mean, 200, method="percentile", size=CONFIDENCE
        )[0, 0]
        for number, own in enumerate(series)
    ]
    assert np.mean([bound > 0 for bound in bounds]) > 0.15
    assert rate_above(overlapping(60, 720, 300, np.random.default_rng(4)), overlap_bars=1) > 0.15


@pytest.mark.parametrize("shape", ["calm then wild", "one wild month", "growing"])
def test_a_series_that_is_wilder_at_times_is_judged_no_more_kindly(shape: str) -> None:
    place = np.linspace(0, 1, 215)
    scale = {
        "calm then wild": np.where(place < 0.5, 1, 5),
        "one wild month": np.where(np.abs(place - 0.47) < 0.05, 20, 1),
        "growing": 0.2 + 2 * place,
    }[shape]
    series = overlapping(5, 215, SERIES, np.random.default_rng(1)) * scale
    assert rate_above(series, 5) < 0.067


@pytest.mark.parametrize(("overlap_bars", "bars"), [(1, 219), (5, 215), (20, 470), (60, 1440)])
def test_a_mean_well_above_0_is_found(overlap_bars: int, bars: int) -> None:
    """Where a test that knew the variance would find 90 %, this one finds at least 70 %."""
    series = overlapping(overlap_bars, bars, 500, np.random.default_rng(2))
    shift = (stats.norm.ppf(0.95) + stats.norm.ppf(0.9)) * np.sqrt(overlap_bars / bars)
    assert rate_above(series + shift, overlap_bars) > 0.7
