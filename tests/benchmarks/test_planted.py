"""The reference of benchmarks.agents: markets with a planted edge, and the optimum found by dynamic programming."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.planted import COLUMNS, Planted, Task, plant, scores_bps, solve
from MLOps.trading import Ledger, simulate

EASY = Task(edge_bps=40, regime_bars=20, fee_bps=10)
COSTLY = Task(edge_bps=15, regime_bars=5, fee_bps=20, slippage_bps=7)
TASKS = {"easy": EASY, "costly": COSTLY}
SYMBOLS, BARS = 100, 1_500


def traded(task: Task, planted: Planted, policy: Any) -> Ledger:
    return simulate(policy, planted.market, task.trading(scheme="weights"))


@pytest.fixture(scope="module", params=list(TASKS))
def task(request: pytest.FixtureRequest) -> Task:
    return TASKS[request.param]


def test_the_signal_is_the_mean_sign_of_the_next_bar(task: Task) -> None:
    planted = plant(task, SYMBOLS, BARS, seed=1)
    signal, coming = planted.market.observations[:, :-1, 0].ravel(), np.sign(planted.drift[:, 1:]).ravel()
    for low in np.linspace(-1, 0.8, 10):
        inside = (signal >= low) & (signal < low + 0.2)
        error = (coming - signal)[inside].mean()
        assert abs(error) < 4 * coming[inside].std() / np.sqrt(inside.sum()) + 1e-3


def test_without_an_edge_closes_and_opens_are_martingales_whatever_the_signal() -> None:
    task = replace(EASY, edge_bps=0)
    planted = plant(task, SYMBOLS, BARS, seed=2)
    market = planted.market
    assert not planted.drift.any()
    for gains in (market.close[:, 1:] / market.open[:, 1:] - 1, market.open[:, 1:] / market.close[:, :-1] - 1):
        for size in (np.ones_like(gains), market.observations[:, :-1, 0]):
            bets = (size * gains).ravel()
            assert abs(bets.mean()) < 4 * bets.std() / np.sqrt(len(bets))


def test_the_score_is_the_mean_reward_where_returns_have_no_noise() -> None:
    task = replace(COSTLY, volatility_bps=1e-3)
    planted = plant(task, 3, 400, seed=3)
    draws = np.random.default_rng(3).uniform(-1, 1, (3, 400)).astype(np.float32)

    def policy(_: Any, symbols: NDArray[np.intp], bar: int) -> NDArray[np.float32]:
        return draws[symbols, bar]

    ledger = traded(task, planted, policy)
    rewards = ledger.rewards[:, 1:].mean(axis=1) / task.trading().reward.scale
    assert scores_bps(ledger, planted) == pytest.approx(rewards * 1e4, abs=1e-3)


def test_without_costs_the_best_policy_follows_the_sign(task: Task) -> None:
    task = replace(task, fee_bps=0, slippage_bps=0)
    optimum = solve(task)
    signal = plant(task, SYMBOLS, BARS, seed=4).market.observations[..., 0].astype(float)
    expected = task.edge_bps * np.abs(signal).mean()
    assert optimum.average_bps == pytest.approx(expected, rel=0.005)
    rows = np.zeros((2, len(COLUMNS) + 4), np.float32)
    rows[:, 0] = -0.1, 0.1
    assert optimum.policy(rows, np.arange(2), 0).tolist() == [-1, 1]


def test_at_prohibitive_costs_the_best_policy_never_trades(task: Task) -> None:
    optimum = solve(replace(task, fee_bps=5_000))
    assert optimum.average_bps == pytest.approx(0, abs=1e-3)
    assert (optimum.targets == optimum.positions).all()


def test_finer_positions_earn_no_more(task: Task) -> None:
    assert solve(task, tuple(np.linspace(-1, 1, 9))).average_bps == pytest.approx(solve(task).average_bps, abs=1e-4)


def test_the_best_policy_earns_its_value_in_the_kernel_and_others_less(task: Task) -> None:
    planted, optimum = plant(task, 2 * SYMBOLS, BARS, seed=5), solve(task)
    scores = scores_bps(traded(task, planted, optimum.policy), planted)
    # The dynamic programme holds exposure constant at no cost; the kernel trades to keep it, or lets it drift.
    tolerance = 4 * scores.std() / np.sqrt(len(scores)) + 0.01 * optimum.average_bps
    assert scores.mean() == pytest.approx(optimum.average_bps, abs=tolerance)

    def rule(observations: NDArray[np.float32], *_: Any) -> NDArray[np.float32]:
        return np.sign(observations[:, 0])

    worse = scores_bps(traded(task, planted, rule), planted)
    assert worse.mean() < scores.mean()
