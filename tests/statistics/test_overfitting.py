"""The probability of overfitting: against the definition written out, another library, and planted skill."""

from itertools import combinations

import holdout
import numpy as np
import pytest
from scipy.stats import rankdata

from MLOps.statistics.overfitting import probability_of_overfitting
from MLOps.statistics.returns import sharpe
from tests.statistics.series import UNLIKE, returns_like


def trials_like(name: str, count: int) -> np.ndarray:
    """(bars, count): variations of one series."""
    series = returns_like(name)
    generator = np.random.default_rng(count)
    return np.stack([series * (generator.random(len(series)) < 0.6) for _ in range(count)], axis=1)


def written_out(returns: np.ndarray, blocks: int) -> float:
    cut = np.array_split(returns, blocks)
    overfit = []
    for chosen in combinations(range(blocks), blocks // 2):
        inside = np.concatenate([cut[b] for b in chosen])
        outside = np.concatenate([cut[b] for b in range(blocks) if b not in chosen])
        best = np.argmax([sharpe(column, 1) for column in inside.T])
        rank = rankdata([sharpe(column, 1) for column in outside.T])[best]
        share = rank / (returns.shape[1] + 1)
        overfit.append(np.log(share / (1 - share)) <= 0)
    return float(np.mean(overfit))


@pytest.mark.parametrize("name", UNLIKE)
@pytest.mark.parametrize("count", [2, 7])
def test_it_is_the_definition_written_out(name: str, count: int) -> None:
    returns = trials_like(name, count)
    blocks = 4 if name in {"short", "few trades"} else 8
    assert probability_of_overfitting(returns, blocks) == pytest.approx(written_out(returns, blocks), abs=1e-9)


@pytest.mark.parametrize(("name", "count"), [("daily", 10), ("daily", 49), ("hourly", 5), ("outage", 20)])
def test_it_is_another_librarys(name: str, count: int) -> None:
    returns = trials_like(name, count)
    theirs = holdout.probability_of_backtest_overfitting(returns, n_blocks=16).pbo
    assert probability_of_overfitting(returns) == pytest.approx(theirs, abs=1e-9)


def test_skill_is_not_overfitting_and_luck_is_a_coin() -> None:
    generator = np.random.default_rng(0)
    lucky = [probability_of_overfitting(generator.normal(0, 0.01, (240, 20)), 8) for _ in range(100)]
    assert 0.4 < np.mean(lucky) < 0.6
    skilled = generator.normal(0, 0.01, (1250, 20))
    skilled[:, 3] += 0.004
    assert probability_of_overfitting(skilled) == 0


def test_a_trial_that_is_good_only_once_is_overfit() -> None:
    """Each trial has one good block of its own, and loses a little elsewhere."""
    returns = np.random.default_rng(1).normal(-0.001, 0.01, (800, 8))
    for trial, bars in enumerate(np.array_split(np.arange(800), 8)):
        returns[bars, trial] += 0.02
    assert probability_of_overfitting(returns, 8) == 1


def test_order_and_copies_of_trials_do_not_show() -> None:
    returns = trials_like("daily", 6)
    value = probability_of_overfitting(returns, 8)
    assert probability_of_overfitting(returns[:, ::-1], 8) == value
    copied = np.concatenate([returns, np.zeros((len(returns), 2)), returns[:, :2]], axis=1)
    assert probability_of_overfitting(copied[:, ::-1], 8) == pytest.approx(probability_of_overfitting(copied, 8))


def test_a_trial_that_does_not_trade_has_sharpe_ratio_0() -> None:
    """Also in a half only: rounding of its sums must not make a ratio."""
    generator = np.random.default_rng(2)
    losing = generator.normal(-0.01, 0.01, (400, 3))
    assert probability_of_overfitting(np.concatenate([losing, np.zeros((400, 1))], axis=1), 4) == 0
    half_flat = losing.copy()
    half_flat[100:, 0] = 0.0
    assert probability_of_overfitting(half_flat, 4) == pytest.approx(written_out(half_flat, 4))


def test_what_has_no_answer_is_refused() -> None:
    good = np.random.default_rng(0).normal(size=(64, 3))
    holed = good.copy()
    holed[5, 1] = np.nan
    for returns, blocks in [(good[:, :1], 16), (good[:31], 16), (good, 5), (good, 0), (holed, 16), (good[:, 0], 16)]:
        with pytest.raises(ValueError, match="expected"):
            probability_of_overfitting(returns, blocks)
