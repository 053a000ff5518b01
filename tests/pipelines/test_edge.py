"""The whole pipeline on markets whose truth is known: a planted edge is found and promoted, noise is refused."""

from pathlib import Path

import mlflow
import pandas as pd
import pytest

from MLOps.artifacts import read_json
from MLOps.config.params import load_params
from MLOps.data.splits import Splits
from MLOps.evaluation.report import BacktestReport
from MLOps.model_registry.versions import BUNDLE_TAG, Registry
from MLOps.operations.champion import measured_sharpe
from MLOps.operations.promotion import promote
from MLOps.pipelines import paths
from tests.project import Project

QUICK = {
    "data.source": "synthetic",
    "data.synthetic.bars": 1200,
    "labels.threshold_delta": 0.005,
    "splits.folds": 3,
    "agents.ppo.total_timesteps": 40_000,
    "agents.ppo.learning_rate": 0.001,
    "agents.ppo.evaluate_every_steps": 16_384,
    "backtest.random_draws": 50,
}


def synthetic(folder: Path, edge_bps: float) -> Project:
    """The small pipeline on a synthetic market, not run yet."""
    project = Project.copy(folder)
    project.update({**QUICK, "data.synthetic.edge_bps": edge_bps})
    # The linear predictor is enough to hear what volume says, and is trained in a second.
    project.keep_predictors("logistic")
    return project


def standing(project: Project) -> tuple[dict[str, str], int, int | None]:
    """The candidate's tags, the candidate's version and the champion's."""
    client = project.client()
    candidate = client.get_model_version_by_alias("trading-agent", "candidate")
    champion = client.get_registered_model("trading-agent").aliases.get("champion")
    return candidate.tags, int(candidate.version), None if champion is None else int(champion)


@pytest.mark.slow
def test_a_planted_edge_is_promoted_and_the_champion_is_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = synthetic(tmp_path, edge_bps=40.0)
    project.repro()
    backtest = read_json(tmp_path / "reports/backtest/report.json")
    assert backtest["excess"]["buy_and_hold"]["lower"] > 0
    assert backtest["metrics"]["agent"]["costs"] > 0
    tags, first, champion = standing(project)
    assert tags["gate"] == "passed"
    assert champion == first

    # A candidate that has learnt nothing. The champion, traded again over the same span, has the Sharpe ratio of its
    # own backtest.
    project.update({"agents.ppo.total_timesteps": 1024, "agents.ppo.learning_rate": 1e-9})
    assert project.repro() == [
        "prepare",
        "tune_agent@ppo",
        "train_agent@ppo",
        "ensemble_agents",
        "choose_agent",
        "backtest",
        "promote",
    ]
    tags, second, champion = standing(project)
    assert second == first + 1
    assert champion == first
    assert f"the champion's {backtest['metrics']['agent']['sharpe']:.2f}" in tags["gate_reasons"]
    kept = project.client().get_model_version("trading-agent", str(first)).tags
    (measured,) = (value for name, value in kept.items() if name.startswith("sharpe_on_"))
    assert float(measured) == backtest["metrics"]["agent"]["sharpe"]

    # Bars without the champion's universe: it cannot be traded, which is a reason and no failure.
    monkeypatch.chdir(tmp_path)
    params = load_params()
    registry = Registry(project.client(), "trading-agent")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    bars = pd.read_parquet(paths.BARS)
    bars[bars["symbol"] != "SYN00"].to_parquet(paths.BARS)
    test = Splits.from_dict(read_json(paths.SPLITS)).test
    bars_per_year = read_json(paths.CLOCK)["bars_per_year"]

    def sharpe_of(version: str) -> float:
        return measured_sharpe(registry, version, paths.BARS, test, params.trading, bars_per_year)

    identity = registry.tags(str(second))[BUNDLE_TAG]
    decision = promote(registry, str(second), identity, BacktestReport.from_dict(backtest), params.gate, sharpe_of)
    (reason,) = decision.reasons
    assert "cannot be traded" in reason
    assert "SYN00 missing" in reason


@pytest.mark.slow
def test_a_random_walk_promotes_nobody(tmp_path: Path) -> None:
    project = synthetic(tmp_path, edge_bps=0.0)
    project.repro()
    tags, _, champion = standing(project)
    assert tags["gate"] == "refused"
    assert "excess return over buy-and-hold" in tags["gate_reasons"]
    assert champion is None
