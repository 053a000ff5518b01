"""The limit of moving-window means: its false alarms on dependent series, its power, and what it ignores."""

import numpy as np
import pytest
from scipy.signal import lfilter

from MLOps.statistics.change_detection import calibrate, least_bars, window_means

WINDOW, LOOKS, PROBABILITY = 20, 21, 0.05


def series(generator: np.random.Generator, bars: int, memory: float, n: int = 5) -> np.ndarray:
    return np.asarray(lfilter([1], [1, -memory], generator.standard_normal((bars + 100, n)), axis=0)[100:])


@pytest.mark.parametrize("memory", [0.0, 0.8])
def test_false_alarms_over_a_whole_month_are_as_rare_as_asked(memory: float) -> None:
    """At most 5 % in truth; 12 or more of 100 months would then occur with a probability of 0.4 %."""
    generator, alarms = np.random.default_rng(1), 0
    for seed in range(100):
        values = series(generator, 600 + WINDOW + LOOKS - 1, memory)
        past, new = values[:600], values[600:]
        folds = np.array_split(np.arange(600), 10)
        unseen = [past[fold] - np.delete(past, fold, axis=0).mean(axis=0) for fold in folds]
        limit = calibrate(np.concatenate(unseen), WINDOW, LOOKS, PROBABILITY, 100, seed)
        statistics = limit.statistics(window_means(new - past.mean(axis=0), WINDOW))
        assert len(statistics) == LOOKS
        alarms += bool((limit.sizes(statistics) > limit.value).any())
    assert alarms < 12


def test_a_change_of_one_series_among_many_is_found() -> None:
    values = series(np.random.default_rng(2), 800, 0.3, n=30)
    past, new = values[:700] - values[:700].mean(axis=0), values[700:]
    new[:, 7] += 2 * values[:700, 7].std()
    limit = calibrate(past, WINDOW, LOOKS, PROBABILITY, 200, 0)
    sizes = limit.sizes(limit.statistics(window_means(new, WINDOW)))
    assert sizes[-1].argmax() == 7 and sizes[-1].max() > limit.value


def test_one_sided_limits_ignore_a_rise() -> None:
    past = series(np.random.default_rng(3), 700, 0.0, n=1)
    limit = calibrate(past - past.mean(), WINDOW, LOOKS, PROBABILITY, 200, 0, one_sided=True)
    assert limit.sizes(limit.statistics(np.array([[5.0]])))[0, 0] < 0
    assert limit.sizes(limit.statistics(np.array([[-5.0]])))[0, 0] > limit.value


def test_a_longer_period_of_looks_has_a_higher_limit() -> None:
    past = series(np.random.default_rng(4), 700, 0.3)
    limits = [calibrate(past, WINDOW, looks, PROBABILITY, 300, 0).value for looks in (1, 21, 700)]
    assert limits == sorted(limits)


def test_a_series_that_never_varies_is_no_change_and_too_few_bars_are_refused() -> None:
    past = series(np.random.default_rng(5), 400, 0.0)
    past[:, 2] = 0.0
    limit = calibrate(past, WINDOW, LOOKS, PROBABILITY, 200, 0)
    assert np.isfinite(limit.value)
    assert limit.statistics(np.ones((1, 5)))[0, 2] == 0
    with pytest.raises(ValueError, match="expected at least 100 bars, found 99"):
        calibrate(past[: least_bars(WINDOW) - 1], WINDOW, LOOKS, PROBABILITY, 200, 0)


def test_means_are_of_the_known_values_if_they_are_half_of_the_window() -> None:
    values = np.array([[1.0], [np.nan], [3.0], [np.nan], [np.nan], [7.0]])
    found = window_means(values, 3)[:, 0]
    assert found[0] == pytest.approx(2.0)
    assert np.isnan(found[[1, 2, 3]]).all()
