"""Several agents with several seeds, a search and an ensemble, through the real stages and the real store."""

import json
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from MLOps.agents.ensemble import AgentEnsemble
from MLOps.artifacts import read_json
from MLOps.config.params import load_params
from MLOps.data.splits import Splits
from MLOps.deployment.trading_model import TradingModel
from MLOps.evaluation.report import BacktestReport
from MLOps.model_registry.versions import Registry
from tests.project import Project

AGENT = {
    "observe": {"features": ["return_1", "price_to_mean_20"]},
    "seeds": 2,
    "environments": 8,
    "total_timesteps": 4096,
    "evaluate_every_steps": 2048,
    "checkpoint_every_steps": 1024,
    "net_arch": [16],
}
COHORT: dict[str, Any] = {
    "trading.scheme": "targets",
    "agents": {
        "first": {"kind": "ppo", "n_steps": 64, "batch_size": 256, **AGENT},
        "second": {"kind": "a2c", "n_steps": 16, **AGENT},
    },
    "search.agents": {"trials": 3, "spaces": {"first": {"gamma": {"low": 0.8, "high": 0.99}}}},
    "agent_ensemble": {"kind": "hedge"},
}


@pytest.mark.slow
def test_seeds_search_and_ensemble_in_the_pipeline(own: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    own.update(COHORT)
    own.repro()
    assert own.repro() == ["prepare", "choose_agent", "promote"]
    folder, client = own.folder, own.client()

    # Every seed is a run below its stage's, and the one with the highest reward goes on.
    for name in ("first", "second"):
        (stage,) = client.search_runs(["1"], f"tags.stage = 'train_agent' and tags.variant = '{name}'")
        below = f"tags.stage = 'seed' and tags.mlflow.parentRunId = '{stage.info.run_id}'"
        seeds = client.search_runs(["1"], below)
        assert {run.data.params["number"] for run in seeds} == {"0", "1"}
        assert len({run.data.params["seed"] for run in seeds}) == 2
        rewards = [run.data.metrics["selected_validation_reward"] for run in seeds]
        metrics = read_json(folder / f"reports/metrics/train_agent/{name}/metrics.json")
        assert metrics["selected_validation_reward"] == max(rewards)
        assert metrics["validation_reward_median"] == pytest.approx(statistics.median(rewards))
        assert min(rewards) <= metrics["validation_reward_iqm_lower"] <= metrics["validation_reward_iqm_upper"]
        history = pd.read_csv(folder / f"reports/history/train_agent/{name}/history.csv")
        assert history["validation_reward"].max() == max(rewards)

    # The search chose gamma by the reward on validation; the agent without a space is as in params.yaml.
    trials = read_json(folder / "reports/records/tune_agent/first/trials.json")
    best = min((trial for trial in trials if not trial["pruned"]), key=lambda trial: min(trial["losses"].values()))
    assert read_json(folder / "models/tuned_agents/first.json")["gamma"] == best["values"]["gamma"]
    assert read_json(folder / "models/agents/first/agent.json")["config"]["gamma"] == best["values"]["gamma"]
    assert read_json(folder / "models/agents/second/agent.json")["config"]["gamma"] == 0.99
    assert len(client.search_runs(["1"], "tags.stage = 'trial'")) == 3

    # The ensemble trades, beside its best member; what is registered trades as the backtest did.
    report = BacktestReport.from_dict(read_json(folder / "reports/backtest/report.json"))
    assert report.agent == "ensemble"
    assert {"agent", "best_member"} <= set(report.metrics)
    assert "more than its best member" in own.run("MLOps", "summary").stdout
    monkeypatch.chdir(folder)
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    version = client.get_model_version_by_alias("trading-agent", "candidate").version
    model = TradingModel.load(Registry(client, "trading-agent").bundle(str(version)))
    assert isinstance(model.agent, AgentEnsemble)
    bars = pd.read_parquet("data/processed/bars.parquet")
    test = Splits.from_dict(read_json(Path("data/processed/splits.json"))).test
    traded = pd.read_parquet("reports/backtest/ledgers.parquet").query("policy == 'agent'")
    again = model.backtest(bars, test, load_params().trading).to_frame()
    assert np.array_equal(again["actions"], traded["actions"], equal_nan=True)
    assert np.array_equal(again["equity"], traded["equity"])
    first_bar = traded["timestamp"].min()
    decided = model.decide(bars[bars["timestamp"] <= first_bar], load_params().trading.initial_cash, {})
    # NaN where a symbol is not listed yet.
    expected = traded[traded["timestamp"] == first_bar].set_index("symbol")["actions"].dropna()
    assert decided.set_index("symbol")["action"].astype(np.float32).to_dict() == expected.to_dict()


@pytest.mark.slow
def test_a_killed_search_of_an_agent_ends_as_an_undisturbed_one(own: Project) -> None:
    own.update(COHORT)
    own.repro("tune_agent@first")
    outputs = [
        own.folder / "models/tuned_agents/first.json",
        own.folder / "reports/records/tune_agent/first/trials.json",
    ]
    undisturbed = [json.loads(file.read_text()) for file in outputs]
    (own.folder / ".cache/search/tune_agent/first.db").unlink()
    for file in outputs:
        file.unlink()
    process = subprocess.Popen([sys.executable, "-m", "MLOps.pipelines.tune_agent", "first"], cwd=own.folder)
    saved = own.folder / ".cache/training/tune_agent/first"
    while not list(saved.rglob("*.safetensors")):
        assert process.poll() is None, "the search ended before its first checkpoint"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    own.run("MLOps.pipelines.tune_agent", "first")
    assert [json.loads(file.read_text()) for file in outputs] == undisturbed
    (killed,) = own.client().search_runs(["1"], "tags.stage = 'tune_agent' and attributes.status = 'KILLED'")
    assert killed.data.tags["variant"] == "first"
