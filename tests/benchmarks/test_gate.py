"""The gate's benchmark, small: what has no edge is refused, also as the best of fifty; what has a large one passes."""

import numpy as np
import pytest

from benchmarks import gate
from benchmarks.planted import plant
from MLOps.config.params import load_params
from MLOps.evaluation.performance import Portfolio
from MLOps.trading import simulate

PARAMS = load_params(gate.PARAMS)


@pytest.mark.parametrize("kind", gate.NULLS)
def test_no_policy_without_skill_is_promoted(kind: str) -> None:
    assert gate.on_null_market(kind, 1, PARAMS) == (False, False)


@pytest.mark.parametrize("kind", gate.NULLS)
def test_policies_without_skill_trade_and_lose_their_costs(kind: str) -> None:
    """A null market is no test of a gate if its policies stand still, or if they can earn from it."""
    earned, turned = [], []
    for seed in range(8):
        market = gate.market_of(gate.null_returns(kind, seed))
        ledgers = [simulate(gate.unskilled(number), market, PARAMS.trading) for number in range(4)]
        earned += [Portfolio.of(ledger).returns.mean() for ledger in ledgers]
        turned += [ledger.costs.sum() for ledger in ledgers]
    assert min(turned) > 0
    assert np.mean(earned) < 2 * np.std(earned) / np.sqrt(len(earned))


def test_a_large_edge_is_promoted() -> None:
    task = gate.task_of(20.0, PARAMS.trading)
    for seed in range(2):
        market = plant(task, gate.SYMBOLS, gate.BARS, seed=seed).market
        trial = Portfolio.of(simulate(gate.rule, market, PARAMS.trading))
        assert gate.promoted(gate.rule, market, PARAMS, seed, {"0": trial})
