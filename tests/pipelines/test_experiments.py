"""Experiments: what counts as a trial wherever it ran, what they leave unmoved, and what they show."""

import json
import re
import shlex
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import yaml
from mlflow.tracking import MlflowClient

from MLOps.artifacts import read_json, read_table, write_json
from MLOps.config.tracking import TrackingConfig
from MLOps.experiment_tracking.trials import Trial, Trials
from tests.project import ROOT, Project, environment

# A pipeline of one stage, whose returns follow from one parameter; the ledger, the store and DVC are real.
STAGE = """
import sys
from pathlib import Path
import numpy as np, pandas as pd
from MLOps.config.params import parse_yaml
from MLOps.config.tracking import TrackingConfig
from MLOps.experiment_tracking.trials import Trial, Trials
params = parse_yaml(Path("params.yaml").read_text())
trials = Trials(TrackingConfig(uri="sqlite:///mlflow.db", experiment="trading", registered_model="m"))
returns = np.random.default_rng(params["agent"]).normal(0, 0.01, 100)
trials.record(Trial.of(pd.date_range("2020-01-01", periods=100, tz="UTC"), returns))
Path("report.json").write_text(str(returns.mean()))
"""
CODE = {"PYTHONPATH": str(ROOT)}  # DVC's copies of the tiny project lack the package
PIPELINE = {
    "stages": {
        "backtest": {
            "cmd": "python stage.py",
            "params": ["agent", "note"],
            "deps": ["stage.py"],
            "outs": ["report.json"],
        }
    }
}


def trials_of(project: Project, monkeypatch: pytest.MonkeyPatch) -> Trials:
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"):
        monkeypatch.delenv(name, raising=False)
    uri = f"sqlite:///{project.folder}/mlflow.db"
    return Trials(TrackingConfig(uri=uri, experiment="trading", registered_model="m"))


@pytest.fixture
def tiny(tmp_path: Path) -> Project:
    project = Project(tmp_path / "tiny")
    project.folder.mkdir()
    (project.folder / "stage.py").write_text(STAGE)
    (project.folder / "params.yaml").write_text(yaml.safe_dump({"agent": 0, "note": "none"}))
    (project.folder / "dvc.yaml").write_text(yaml.safe_dump(PIPELINE))
    (project.folder / ".gitignore").write_text("/mlflow.db*\n/mlruns/\n/report.json\n")
    project.init()
    project.run("dvc", "init", "--quiet")
    project.keep_dvc_state()
    project.run("dvc", "repro", variables=CODE)
    project.commit()
    return project


def wait_for_queue(project: Project) -> None:
    """Work through the queue, as `dvc queue start` does in the background."""
    project.run("dvc", "queue", "start", variables=CODE)
    deadline = time.monotonic() + 500
    while time.monotonic() < deadline:
        status = project.run("dvc", "queue", "status", variables=CODE).stdout
        if "Queued" not in status and "Running" not in status:
            assert "Failed" not in status, status
            project.run("dvc", "queue", "stop", "--kill", check=False, variables=CODE)
            return
        time.sleep(1)
    raise AssertionError("the queue does not empty")


def test_the_distinct_candidates_count_wherever_they_ran(tiny: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the workspace, in a queue and in a temporary copy; repeated, and with another parameter of no effect."""

    def experiment(*options: str) -> None:
        tiny.run("dvc", "exp", "run", *options, variables=CODE)

    ledger = trials_of(tiny, monkeypatch)
    assert ledger.count() == 1
    for agent in (1, 2):
        experiment("-S", f"agent={agent}")
    experiment("--queue", "-S", "agent=3")
    wait_for_queue(tiny)
    experiment("--temp", "-S", "agent=4")
    assert ledger.count() == 5
    experiment("--force", "-S", "agent=2")
    experiment("--temp", "-S", "agent=0", "-S", "note=no effect on the returns")
    assert ledger.count() == 5
    assert len(ledger.all()) == 5
    client = MlflowClient(f"sqlite:///{tiny.folder}/mlflow.db")
    (store,) = client.search_experiments(filter_string="name = 'trading-trials'")
    named = ["experiment" in run.data.tags for run in client.search_runs([store.experiment_id])]
    assert (named.count(True), named.count(False)) == (4, 1)


def candidate_of(project: Project, revision: str) -> str:
    """The candidate of a commit or an experiment, from the returns that DVC keeps of it."""
    got = project.folder / "returns.parquet"
    project.run("dvc", "get", ".", "reports/backtest/returns.parquet", "--rev", revision, "--out", str(got), "--force")
    returns = read_table(got)
    got.unlink()
    return Trial.of(returns["timestamp"], returns["agent"]).candidate


def kill_backtest(project: Project, ledger: Trials, *options: str) -> None:
    """Begin an experiment, and kill its backtest as soon as it has recorded a trial."""
    known = ledger.count()
    words = [sys.executable, "-m", "dvc", "exp", "run", *options]
    process = subprocess.Popen(words, cwd=project.folder, env=environment(), stdout=subprocess.PIPE, text=True)
    while ledger.count() == known:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    for child in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.Error):
            if "MLOps.pipelines.backtest" in child.cmdline() and child.name().startswith("python"):
                child.kill()
    process.communicate()
    assert process.returncode != 0


@pytest.mark.slow
def test_experiments_count_and_move_nothing(own: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole pipeline: three in the workspace, one queued, one in a copy, a repeat, and a retry after a kill."""

    def experiment(name: str, gamma: float, *options: str) -> str:
        named = ["--name", name, "-S", f"agents.ppo.gamma={gamma}"]
        return own.run("dvc", "exp", "run", *named, *options).stdout

    ledger, client = trials_of(own, monkeypatch), own.client()

    def registry() -> list[object]:
        models = sorted(client.search_registered_models(), key=lambda model: model.name)
        return [
            (
                model.name,
                client.get_registered_model(model.name).aliases,
                len(client.search_model_versions(f"name = '{model.name}'")),
            )
            for model in models
        ]

    before = registry()
    assert {one.candidate for one in ledger.all()} == {candidate_of(own, "HEAD")}
    for number, gamma in enumerate((0.9, 0.8, 0.7)):
        told = experiment(f"here-{number}", gamma)
        assert f"experiment here-{number}: not registered" in told
    experiment("queued", 0.6, "--queue")
    wait_for_queue(own)
    experiment("copied", 0.5, "--temp")
    names = ["here-0", "here-1", "here-2", "queued", "copied"]
    distinct = {candidate_of(own, revision) for revision in ["HEAD", *names]}
    assert {one.candidate for one in ledger.all()} == distinct
    experiment("again", 0.9)
    assert {one.candidate for one in ledger.all()} == distinct, "a repeat is no trial"
    kill_backtest(own, ledger, "--name", "killed", "-S", "agents.ppo.gamma=0.3")
    experiment("retried", 0.3)
    distinct.add(candidate_of(own, "retried"))
    assert {one.candidate for one in ledger.all()} == distinct
    assert registry() == before
    tags = {run.data.tags.get("experiment") for run in client.search_runs(["1"], "tags.stage = 'repro'")}
    assert {*names, "retried"} <= tags
    # Promotion of what an experiment found is `dvc repro` on its state.
    own.run("dvc", "exp", "apply", "here-1")
    own.run("dvc", "repro")
    assert {one.candidate for one in ledger.all()} == distinct
    assert len(client.search_model_versions("name = 'trading-agent'")) == 2


@pytest.mark.slow
def test_an_experiment_up_to_the_choice_costs_no_trial(own: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = trials_of(own, monkeypatch)
    known = ledger.count()
    written = {path: path.read_bytes() for path in (own.folder / "reports/backtest").iterdir()}
    ran = own.run("dvc", "exp", "run", "--name", "chosen", "-S", "agents.ppo.gamma=0.9", "choose_agent").stdout
    assert "MLOps.pipelines.train_agent" in ran and "MLOps.pipelines.choose_agent" in ran
    assert "MLOps.pipelines.backtest" not in ran and "MLOps.pipelines.promote" not in ran
    assert ledger.count() == known
    assert {path: path.read_bytes() for path in (own.folder / "reports/backtest").iterdir()} == written
    figures = read_json(own.folder / "reports/metrics.json")
    assert set(figures) == ON_VALIDATION, "the figures of the test span are not of this agent"
    (run,) = own.client().search_runs(["1"], "tags.stage = 'repro' and tags.experiment = 'chosen'")
    assert set(run.data.metrics) == ON_VALIDATION
    assert run.data.tags["changed"] == "agents.ppo.gamma: 0.95 → 0.9"
    assert "agents.ppo.gamma: 0.95 → 0.9" in run.data.tags["mlflow.note.content"]
    assert run.data.params["agents.ppo.gamma"] == "0.9"


ON_VALIDATION = {"log_loss_gain", "passed", "reward"}
ON_TEST = {"sharpe", "cagr", "drawdown", "excess_sharpe", "random_rank"}


def test_headlines_are_the_same_in_the_file_in_dvc_and_in_mlflow(finished: Project) -> None:
    figures = read_json(finished.folder / "reports/metrics.json")
    assert set(figures) == ON_VALIDATION | ON_TEST
    report = read_json(finished.folder / "reports/backtest/report.json")
    assert figures["sharpe"] == report["metrics"]["agent"]["sharpe"]
    assert figures["excess_sharpe"] == figures["sharpe"] - report["metrics"]["buy_and_hold"]["sharpe"]
    verdicts = read_json(finished.folder / "reports/verdicts.json")
    assert figures["passed"] == sum(verdict["passed"] for verdict in verdicts["verdicts"])
    shown = json.loads(finished.run("dvc", "metrics", "show", "--json").stdout)
    assert {Path(name).as_posix(): file["data"] for name, file in shown[""]["data"].items()} == {
        "reports/metrics.json": figures
    }
    (parent,) = finished.client().search_runs(["1"], "tags.stage = 'repro'")
    assert parent.data.metrics == figures
    assert parent.data.params["agents.ppo.net_arch"] == "[16]"
    assert parent.data.tags["mlflow.note.content"] == "No run before this one."


def test_experiments_are_shown_on_one_screen(own: Project) -> None:
    """The table that `make experiments` prints, with every figure and one parameter changed."""
    (recipe,) = re.findall(r"^\tdvc (exp show .*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    figures = read_json(own.folder / "reports/metrics.json")
    write_json(own.folder / "reports/metrics.json", {name: -value - 0.0123456789 for name, value in figures.items()})
    own.set(agents__ppo__gamma=0.9)
    shown = own.run("dvc", *shlex.split(recipe), variables={"COLUMNS": "140"}).stdout
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 140
    assert "…" not in shown
    for name in (ON_VALIDATION | ON_TEST | {"agents.ppo.gamma"}) - {"cagr"}:
        assert name in shown


def test_dvc_plots_equity_calibration_and_training(finished: Project, tmp_path: Path) -> None:
    finished.run("dvc", "plots", "show", "--out", str(tmp_path / "plots"))
    page = (tmp_path / "plots" / "index.html").read_text()
    for wanted in (
        "equity on the test span",
        "forecasts of the lowest",
        "log loss of lstm",
        "reward of ppo",
        "selection loss over",
    ):
        assert wanted in page
    for field in (
        "buy_and_hold",
        "observed",
        "selection_loss",
        "validation_reward",
        "loss_ratio",
        "selection_mae",
        "selection_r2",
    ):
        assert f'"{field}"' in page


def test_the_model_and_its_version_carry_a_model_card(finished: Project) -> None:
    client = finished.client()
    (version,) = client.search_model_versions("name = 'trading-agent'")
    card = version.description or ""
    assert card == client.get_registered_model("trading-agent").description
    assert len(card) <= 5000
    headings = ["Decision", "Data", "Model", "Trading rules", "Results", "Intended use", "Limits"]
    assert [line[3:].partition(",")[0] for line in card.splitlines() if line.startswith("## ")] == headings
    report = read_json(finished.folder / "reports/backtest/report.json")
    for name, metrics in report["metrics"].items():
        assert name in card and f"{metrics['sharpe']:.2f}" in card
    for wanted in (
        version.tags["gate_reasons"],
        "symbols in the training span: AAPL",
        "macd_histogram",
        "fee_bps 10.0",
        "2011-03-21",
    ):
        assert wanted in card
    for verdict in read_json(finished.folder / "reports/verdicts.json")["verdicts"]:
        assert f"{verdict['predictor']} {verdict['conclusion']}" in card
