"""The gate: each check refuses by itself, with a reason; when all pass, nothing is refused."""

import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd

from MLOps.config.gate import GateConfig
from MLOps.evaluation.evidence import Evidence
from MLOps.evaluation.gate import CHECKS, Case, CheckResult, judge, judge_beside

BARS = 1250  # five years of days
TIMES = np.datetime64("2011-01-03", "ns") + np.arange(BARS) * np.timedelta64(1, "D")
DAILY_VOLATILITY = 0.01
ALL = GateConfig(overfitting=0.5, superior_ability=0.05)


def returns(annual_sharpe: float, seed: int, bars: int = BARS) -> np.ndarray:
    """Normal returns whose sample has exactly this annual Sharpe ratio."""
    drawn = np.random.default_rng(seed).standard_normal(bars)
    standard = (drawn - drawn.mean()) / drawn.std(ddof=1)
    return DAILY_VOLATILITY * (standard + annual_sharpe / np.sqrt(252))


def case(own: np.ndarray, others: np.ndarray | None = None, **changes: Any) -> Case:
    """Of an agent beside a buy-and-hold with Sharpe ratio 0.4, and the trials `others` (bars, n)."""
    times = TIMES[: len(own)]
    buy_and_hold = returns(0.4, 99, len(own))
    evidence = Evidence(times, np.zeros(len(own), np.int64), {"agent": own, "buy_and_hold": buy_and_hold}, 252)
    trials = own[:, None] if others is None else np.column_stack([own, others])
    table = pd.DataFrame(trials, index=pd.DatetimeIndex(times))
    draws = np.linspace(-0.2, 0.2, 100)
    return replace(Case(evidence, draws, table, samples=500, seed=1), **changes)


def failed(results: list[CheckResult]) -> list[str]:
    return [result.name for result in results if not result.passed]


GOOD = returns(2.4, 1)


def test_a_good_candidate_passes_every_check() -> None:
    others = np.column_stack([returns(sharpe, seed) for seed, sharpe in enumerate((-0.5, 0.0, 0.5), start=5)])
    results = judge(case(GOOD, others), ALL)
    assert [result.name for result in results] == list(CHECKS)
    assert failed(results) == []


def test_each_level_decides_at_its_figure() -> None:
    """The level of each check, moved to just either side of what was measured, turns the check alone."""
    others = np.column_stack([returns(sharpe, seed) for seed, sharpe in enumerate((-0.5, 1.0, 2.0), start=5)])
    judged = case(returns(1.2, 1), others)
    figures = {result.name: result.figure for result in judge(judged, ALL)}
    for name in ("span_days", "cagr", "max_drawdown", "deflated_sharpe", "random_timing", "overfitting"):
        figure, step = figures[name], 1 if name == "span_days" else 1e-6
        assert figure is not None and figure >= 0
        highest = name in ("max_drawdown", "overfitting")
        for level, passes in ((figure - step, not highest), (figure + step, highest)):
            result = CHECKS[name](judged, level)
            assert result is not None and (result.passed, result.threshold) == (passes, level)


def test_a_level_of_null_leaves_a_check_out() -> None:
    for name in CHECKS:
        made = [result.name for result in judge(case(GOOD, returns(0.1, 5)), replace(ALL, **{name: None}))]
        assert made == [other for other in CHECKS if other != name]


def test_many_trials_make_a_lucky_one_likely() -> None:
    """A Sharpe ratio that convinces alone is refused as the best of fifty that scatter as much."""
    lucky = returns(1.2, 1)
    rest = np.column_stack([returns(sharpe, seed) for seed, sharpe in enumerate(np.linspace(-1.2, 1.1, 49), start=50)])
    assert "deflated_sharpe" not in failed(judge(case(lucky), GateConfig()))
    assert "deflated_sharpe" in failed(judge(case(lucky, rest), GateConfig()))


def test_the_same_return_at_a_seventh_of_the_risk_is_rewarded() -> None:
    """What is compared with buy-and-hold is return for risk."""
    calm = returns(0.0, 3) / 7
    calm += case(GOOD).evidence.returns["buy_and_hold"].mean() - calm.mean()
    assert "sharpe_above_buy_and_hold" not in failed(judge(case(calm), GateConfig()))
    wild = returns(0.4, 3)
    assert "sharpe_above_buy_and_hold" in failed(judge(case(wild), GateConfig()))


def test_the_weaker_comparison_counts_where_the_agent_has_stops() -> None:
    judged = case(GOOD)
    with_stops = {**judged.evidence.returns, "buy_and_hold_with_stops": returns(2.3, 8)}
    stopped = replace(judged, evidence=replace(judged.evidence, returns=with_stops))
    (reason,) = [result.reason for result in judge(stopped, GateConfig()) if not result.passed]
    assert "buy-and-hold-with-stops" in reason


def test_an_agent_that_never_trades_is_refused_in_words() -> None:
    results = judge(case(np.zeros(BARS)), ALL)
    assert {"cagr", "deflated_sharpe", "sharpe_above_buy_and_hold"} <= set(failed(results))
    assert all(result.reason for result in results)


def test_what_equals_its_random_timing_does_not_beat_it() -> None:
    still = replace(case(np.zeros(BARS)), random_total_returns=np.zeros(100))
    assert "random_timing" in failed(judge(still, GateConfig()))


def test_too_few_bars_are_a_reason() -> None:
    results = judge(case(returns(5.0, 1, bars=10)), GateConfig())
    (reason,) = [result.reason for result in results if result.name == "sharpe_above_buy_and_hold"]
    assert "10 common bars" in reason


def series(values: np.ndarray, first: int = 0) -> pd.Series:
    return pd.Series(values, pd.DatetimeIndex(TIMES[first : first + len(values)]))


def test_a_champion_is_beaten_or_stays() -> None:
    assert judge_beside(case(GOOD), series(returns(0.5, 7)), 0.9, None).passed
    refused = judge_beside(case(GOOD), series(returns(2.3, 7)), 0.9, None)
    assert not refused.passed and "the champion" in refused.reason
    # Only the bars that both traded are compared.
    tail = BARS - 300
    assert judge_beside(case(GOOD), series(returns(0.5, 7)[tail:], tail), 0.9, None).figure is not None


def test_a_declared_margin_asks_for_a_smaller_drawdown() -> None:
    """Beside a champion of the same Sharpe ratio."""
    champion = returns(1.0, 7)
    alike = returns(1.0, 8) / 2
    assert not judge_beside(case(alike), series(champion), 0.9, None).passed
    assert judge_beside(case(alike), series(champion), 0.9, 3.0).passed
    assert not judge_beside(case(returns(1.0, 8) * 2), series(champion), 0.9, 3.0).passed


def test_results_survive_a_file() -> None:
    results = judge(case(GOOD), ALL)
    assert [
        CheckResult(**values) for values in json.loads(json.dumps([asdict(result) for result in results]))
    ] == results
