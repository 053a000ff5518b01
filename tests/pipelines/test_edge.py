"""The whole pipeline on markets whose truth is known: a planted edge is found and promoted, noise is refused."""

from pathlib import Path

import mlflow
import pandas as pd
import pytest

from MLOps.artifacts import read_json
from MLOps.config.params import load_params
from MLOps.data.splits import Splits
from MLOps.experiment_tracking.trials import Trials
from MLOps.model_registry.versions import Registry
from MLOps.operations.champion import champion_returns
from MLOps.operations.promotion import promote
from MLOps.pipelines import paths
from MLOps.pipelines.gate_case import gate_case
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
    own = pd.read_parquet(tmp_path / paths.RETURNS)
    tags, first, champion = standing(project)
    assert tags["gate"] == "passed"
    assert champion == first
    verdict = read_json(tmp_path / paths.VERDICT)
    assert verdict["promoted"] and verdict["version"] == str(first) and verdict["trials"] == 1

    # A candidate that has learnt nothing.
    project.update({"agents.ppo.total_timesteps": 1024, "agents.ppo.learning_rate": 1e-9})
    assert "train_agent@ppo" in project.repro()
    tags, second, champion = standing(project)
    assert second == first + 1
    assert champion == first
    assert "that of the champion" in tags["gate_reasons"] and tags["check_champion"].startswith("failed: ")
    assert tags["trials"] == "2"

    # The champion, traded again over the same span, has the returns of its own backtest.
    monkeypatch.chdir(tmp_path)
    params = load_params()
    registry = Registry(project.client(), "trading-agent")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    test = Splits.from_dict(read_json(paths.SPLITS)).test

    def returns_of(version: str) -> pd.Series:
        return champion_returns(registry, version, paths.BARS, test, params.trading)

    assert returns_of(str(first)).tolist() == own["agent"].tolist()

    # Bars without the champion's universe: it cannot be traded, which is a reason and no failure.
    bars = pd.read_parquet(paths.BARS)
    bars[bars["symbol"] != "SYN00"].to_parquet(paths.BARS)
    case = gate_case(params, Trials(params.tracking).all())
    decision = promote(registry, str(second), "ppo", case, params.gate, returns_of)
    reason = decision.results[-1].reason
    assert not decision.promoted
    assert "cannot be traded" in reason
    assert "SYN00 missing" in reason


@pytest.mark.slow
def test_a_random_walk_promotes_nobody(tmp_path: Path) -> None:
    project = synthetic(tmp_path, edge_bps=0.0)
    project.repro()
    tags, _, champion = standing(project)
    assert tags["gate"] == "refused"
    assert tags["check_deflated_sharpe"].startswith("failed: ")
    assert champion is None
