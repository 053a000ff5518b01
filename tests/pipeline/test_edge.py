"""The whole pipeline on markets whose truth is known: a planted edge is found and promoted, noise is refused."""

from pathlib import Path
from typing import Any

import yaml

from MLOps.artifacts import read_json
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


def outcome(folder: Path, edge_bps: float) -> tuple[dict[str, Any], dict[str, str], int | None]:
    """Run the pipeline; the backtest, the candidate's tags and the champion's version."""
    project = Project.copy(folder)
    project.update({**QUICK, "data.synthetic.edge_bps": edge_bps})
    params = yaml.safe_load((folder / "params.yaml").read_text())
    # The linear predictor is enough to hear what volume says, and is trained in a second.
    params["predictors"] = {"logistic": params["predictors"]["logistic"]}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    project.repro()
    client = project.client()
    aliases = client.get_registered_model("trading-agent").aliases
    candidate = client.get_model_version_by_alias("trading-agent", "candidate")
    return read_json(folder / "reports/backtest.json"), candidate.tags, aliases.get("champion")


def test_a_planted_edge_beats_buy_and_hold_after_costs_and_is_promoted(tmp_path: Path) -> None:
    backtest, tags, champion = outcome(tmp_path, edge_bps=40.0)
    assert backtest["advantage"]["buy_and_hold"]["lower"] > 0
    assert backtest["figures"]["agent"]["costs"] > 0
    assert tags["gate"] == "passed"
    assert champion is not None


def test_a_random_walk_promotes_nobody(tmp_path: Path) -> None:
    _, tags, champion = outcome(tmp_path, edge_bps=0.0)
    assert tags["gate"] == "refused"
    assert "does not beat buy-and-hold" in tags["gate_reasons"]
    assert champion is None
