"""The benchmark decides as the pipeline does: the same case from the same windows; an interrupted run continues."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks import end_to_end, gate
from benchmarks.end_to_end import Market, case, decide
from MLOps.artifacts import write_json
from MLOps.config.params import parse_yaml
from MLOps.data.clock import Clock
from MLOps.data.sources import load_bars
from MLOps.evaluation.gate import Case, CheckResult
from MLOps.evaluation.outcome import Outcome
from MLOps.evaluation.report import AGENT
from MLOps.execution.processes import Processes
from MLOps.experiment_tracking.trials import Trial
from MLOps.pipelines import paths
from MLOps.pipelines.gate_case import gate_case

TINY_AGENT: dict[str, Any] = {
    "observe": {"features": ["return_1", "volume_to_mean_20"]},
    "environments": 4,
    "n_steps": 32,
    "batch_size": 64,
    "net_arch": [8],
    "total_timesteps": 512,
    "evaluate_every_steps": 256,
}


def tiny() -> dict[str, Any]:
    """The default recipe, as small as it can be."""
    values: dict[str, Any] = parse_yaml(gate.PARAMS.read_text())
    values["data"]["calendar"] = None
    values["features"]["names"] = TINY_AGENT["observe"]["features"]
    values["predictors"] = {"logistic": values["predictors"]["logistic"]}
    values["splits"]["folds"] = 2
    values["agents"]["ppo"] |= TINY_AGENT
    values["backtest"]["random_draws"] = 5
    values["walk_forward"]["windows"] = 2
    values["gate"]["random_timing"] = 0.5
    return values


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(end_to_end, "BARS", 400)


def as_promoted(market: Market, outcomes: list[Outcome], decided: Case) -> Case:
    """The case as `promote` reads it, from files as the stages leave them."""
    params = market.params
    raw = load_bars(params.data, params.seed)
    write_json(paths.CLOCK, Clock.of(raw, params.data.calendar, params.data.bars_per_year).to_dict())
    decided.evidence.write(paths.WALK_FORWARD)
    write_json(paths.WALK_FORWARD_REPORT, {"windows": [outcome.report for outcome in outcomes], "joined": {}})
    joined = pd.concat([outcome.returns for outcome in outcomes])
    return gate_case(params, [Trial.of(joined["timestamp"], joined[AGENT])])


def test_the_case_is_the_one_that_promote_judges_and_finished_windows_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    market = Market(20.0, 3, tiny())
    decided = case(market)
    kept = end_to_end.KEPT / "edge_20" / "3"
    outcomes = sorted((Outcome.load(path) for path in kept.glob("*/outcome")), key=lambda one: one.report["start"])
    assert [len(outcome.returns) for outcome in outcomes] == [60, 59]
    promoted = as_promoted(market, outcomes, decided)
    assert decided.evidence.bars_per_year == promoted.evidence.bars_per_year
    assert (decided.evidence.timestamps == promoted.evidence.timestamps).all()
    assert (decided.random_total_returns == promoted.random_total_returns).all()
    assert (decided.trials.to_numpy() == promoted.trials.to_numpy()).all()
    assert (decided.samples, decided.seed) == (promoted.samples, promoted.seed) == (1000, 3)
    monkeypatch.setattr("MLOps.evaluation.walk_forward.repeat", lambda *_: pytest.fail("computed again"))
    assert [result.name for result in decide(market)] == [
        "span_days",
        "cagr",
        "max_drawdown",
        "deflated_sharpe",
        "sharpe_above_buy_and_hold",
        "random_timing",
    ]
    # Other markets and recipes have windows of their own.
    for other in (Market(20.0, 4, tiny()), Market(20.0, 3, tiny() | {"threads": 2})):
        with pytest.raises(pytest.fail.Exception, match="computed again"):
            decide(other)


def test_a_market_has_the_size_that_the_benchmark_names_whatever_params_say() -> None:
    values = tiny()
    values["data"]["synthetic"] |= {"symbols": 1, "bars": 99, "edge_bps": 1.0}
    bars, calm = (load_bars(Market(edge, 5, values).params.data, 5) for edge in (20.0, 0.0))
    assert len(bars) == len(calm) == end_to_end.SYMBOLS * end_to_end.BARS
    assert bars["symbol"].nunique() == end_to_end.SYMBOLS
    assert not bars["close"].equals(calm["close"])


def test_shares_of_promotions_and_of_failed_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Markets end in any order; the figures after each are those of the markets so far."""

    def passes(market: Market) -> list[CheckResult]:
        skilled = market.edge_bps > 0 and market.seed != 1
        return [CheckResult(name, skilled or name == "cagr", 1.0, 0.0, "") for name in ("cagr", "random_timing")]

    class Backwards(Processes):
        def results(self, work: Any, items: Any) -> Any:
            assert work == decide
            return ((number, passes(items[number])) for number in reversed(range(len(items))))

    monkeypatch.setattr(gate, "Processes", Backwards)
    saved: list[dict[str, float]] = []
    figures = gate.edge(3, [20.0, 2.5, 0.0], 2, lambda now: saved.append(dict(now)))
    assert len(saved) == 9 and saved[-1] == figures
    assert figures["power_edge_20"] == figures["power_edge_2.5"] == pytest.approx(2 / 3)
    assert figures["power_edge_0"] == figures["refused_edge_20_cagr"] == 0
    assert figures["refused_edge_20_random_timing"] == pytest.approx(1 / 3)
    assert figures["refused_edge_0_random_timing"] == 1
    assert {figures[f"markets_edge_{name}"] for name in ("20", "2.5", "0")} == {3}
    assert figures["power_edge_20_lower"] < 2 / 3 < figures["power_edge_20_upper"]
    assert saved[0] == {key: value for key, value in saved[0].items() if "edge_0" in key}
