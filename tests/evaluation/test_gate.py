"""The gate: each line of the rule refuses by itself, with a reason; when all hold, nothing is said."""

import copy
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from MLOps.config.gate import GateConfig
from MLOps.evaluation.gate import refusal_beside, refusals
from MLOps.evaluation.report import BacktestReport, Interval

RULE = GateConfig(
    min_span_days=90,
    min_cagr=0.0,
    min_sharpe=0.5,
    max_drawdown=0.3,
    beat_buy_and_hold=True,
    random_quantile=0.95,
    beat_champion=True,
)
GOOD: dict[str, Any] = {
    "agent": "ppo",
    "validation_rewards": {"ppo": 0.1},
    "random_rank": 1.0,
    "metrics": {"agent": {"total_return": 0.2, "cagr": 0.1, "sharpe": 1.0, "max_drawdown": 0.1}},
    "excess": {
        "buy_and_hold": {"mean": 1e-4, "lower": 1e-5, "upper": 2e-4},
        "buy_and_hold_with_stops": {"mean": 1e-4, "lower": 1e-5, "upper": 2e-4},
    },
    "span": {"start": "2011-01-01T00:00:00+00:00", "end": "2013-01-01T00:00:00+00:00"},
    "random_total_returns": np.linspace(-0.2, 0.1, 100).tolist(),
}


def changed(*path: str, value: Any) -> BacktestReport:
    return report_of(GOOD, *path, value=value)


def report_of(values: dict[str, Any], *path: str, value: Any = None) -> BacktestReport:
    result = copy.deepcopy(values)
    place = result
    for key in path[:-1]:
        place = place[key]
    if path:
        place[path[-1]] = value
    return BacktestReport.from_dict(result)


def test_a_good_candidate_passes() -> None:
    assert refusals(report_of(GOOD), RULE) == []
    assert refusal_beside(report_of(GOOD), 0.9) == []


@pytest.mark.parametrize(
    ("report", "word"),
    [
        (changed("metrics", "agent", "sharpe", value=0.4), "Sharpe"),
        (changed("metrics", "agent", "max_drawdown", value=0.31), "drawdown"),
        (changed("excess", "buy_and_hold", "lower", value=0.0), "over buy-and-hold is"),
        (changed("excess", "buy_and_hold_with_stops", "lower", value=0.0), "over buy-and-hold-with-stops is"),
        (changed("metrics", "agent", "total_return", value=0.05), "random"),
        (changed("metrics", "agent", "cagr", value=0.0), "annual growth"),
        (changed("span", "end", value="2011-01-04T00:00:00+00:00"), "3 days is shorter than 90"),
    ],
)
def test_one_failing_line_is_one_reason(report: BacktestReport, word: str) -> None:
    (reason,) = refusals(report, RULE)
    assert word in reason


def test_a_champion_is_beaten_or_reigns_on() -> None:
    (reason,) = refusal_beside(report_of(GOOD), 1.0)
    assert "champion" in reason


def test_every_failing_line_is_told() -> None:
    bad = changed("metrics", "agent", value={"total_return": -0.3, "cagr": -0.2, "sharpe": -1.0, "max_drawdown": 0.5})
    bad.excess["buy_and_hold"] = Interval(mean=0.0, lower=-1.0, upper=1.0)
    assert len(refusals(bad, RULE)) == 5


def test_without_stops_there_is_no_baseline_with_stops() -> None:
    plain = report_of(GOOD)
    del plain.excess["buy_and_hold_with_stops"]
    assert refusals(plain, RULE) == []


def test_a_report_survives_its_file() -> None:
    report = report_of(GOOD)
    assert BacktestReport.from_dict(json.loads(json.dumps(report.to_dict()))) == report


def test_what_equals_its_random_timing_does_not_beat_it() -> None:
    still = changed("metrics", "agent", "total_return", value=0.0)
    (reason,) = refusals(replace(still, random_total_returns=(0.0,) * 100), RULE)
    assert "random times" in reason
