"""The stage: the pipeline is the last window, a killed stage resumes, and the store has a run for each window."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from MLOps.artifacts import read_json, read_table
from MLOps.data.walk_forward import windows_of
from MLOps.evaluation.evidence import Evidence
from MLOps.evaluation.walk_forward import repeat
from MLOps.pipelines.walk_forward import recipe_of
from tests.pipelines.test_several_agents import COHORT
from tests.project import Project

STAGE = [sys.executable, "-m", "MLOps.pipelines.walk_forward"]


def last_window_again(project: Project, folder: Path) -> None:
    """Repeat the recipe on the bars of the last window, which must give what the stages gave."""
    from MLOps.config.params import load_params

    params = load_params(project.folder / "params.yaml")
    bars = read_table(project.folder / "data/processed/bars.parquet")
    *_, last = windows_of(bars["timestamp"], params.splits, params.walk_forward)
    raw = last.known(read_table(project.folder / "data/raw/bars.parquet"))
    outcome = repeat(recipe_of(params), last, raw, folder)
    returns = read_table(project.folder / "reports/backtest/returns.parquet")
    pd.testing.assert_frame_equal(outcome.returns, returns, check_exact=True)
    assert outcome.report == read_json(project.folder / "reports/walk_forward/report.json")["windows"][-1]


def test_one_window_is_the_backtest(finished: Project) -> None:
    report = read_json(finished.folder / "reports/walk_forward/report.json")
    assert len(report["windows"]) == 1
    backtest = read_json(finished.folder / "reports/backtest/report.json")
    assert report["windows"][0]["metrics"] == backtest["metrics"]
    for name in ("total_return", "sharpe", "max_drawdown", "turnover", "costs"):
        assert report["joined"]["agent"][name] == pytest.approx(backtest["metrics"]["agent"][name])


@pytest.mark.slow
def test_the_recipe_repeated_on_all_bars_is_the_pipeline(finished: Project, tmp_path: Path) -> None:
    last_window_again(finished, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("training", ["anchored", "sliding"])
def test_a_search_and_an_ensemble_are_repeated_too(own: Project, tmp_path: Path, training: str) -> None:
    bounds = {"logistic": {"l2_penalty": {"low": 1.0, "high": 1e4, "log": True}}}
    space: dict[str, Any] = {"trials": 2, "spaces": bounds}
    own.update({**COHORT, "search.predictors": space, "walk_forward.windows": 2, "walk_forward.training": training})
    own.repro()
    last_window_again(own, tmp_path / "checkpoints")
    windows = read_json(own.folder / "reports/walk_forward/report.json")["windows"]
    assert [window["agent"] for window in windows] == ["ensemble", "ensemble"]
    same_start = windows[0]["train"]["start"] == windows[1]["train"]["start"]
    assert same_start == (training == "anchored")


@pytest.mark.slow
def test_windows_are_joined_and_shown(own: Project) -> None:
    before = own.outputs()
    own.update({"walk_forward.windows": 2})
    stages = ["prepare", "validate_data", "features", "choose_agent", "walk_forward", "refit", "promote"]
    assert own.repro() == stages
    after = own.outputs()
    trained = [name for name in before if name.startswith(("models/", "data/", "reports/backtest"))]
    assert [name for name in trained if before[name] != after[name]] == []
    folder = own.folder
    bars_per_year = read_json(folder / "data/processed/clock.json")["bars_per_year"]
    evidence = Evidence.read(folder / "reports/walk_forward", bars_per_year)
    report = read_json(folder / "reports/walk_forward/report.json")
    assert np.unique(evidence.windows).tolist() == [0, 1]
    assert (np.diff(evidence.timestamps) > np.timedelta64(0)).all()
    last = read_table(folder / "reports/backtest/returns.parquet")
    for name in last.columns.drop("timestamp"):
        assert (evidence.returns[name][evidence.windows == 1] == last[name]).all()
        for number, window in enumerate(report["windows"]):
            grown = np.prod(1 + evidence.returns[name][evidence.windows == number]) - 1
            assert window["metrics"][name]["total_return"] == pytest.approx(grown)
    timeline = np.sort(read_table(folder / "data/processed/bars.parquet")["timestamp"].dt.tz_localize(None).unique())
    assert (timeline[-len(evidence.timestamps) :] == evidence.timestamps).all(), "a return for every bar"
    client = own.client()
    (stage,) = client.search_runs(["1"], "tags.stage = 'walk_forward' and params.`walk_forward.windows` = '2'")
    below = client.search_runs(["1"], f"tags.stage = 'window' and tags.mlflow.parentRunId = '{stage.info.run_id}'")
    shown = {int(run.data.params["number"]): run.data.metrics for run in below}
    assert sorted(shown) == [0, 1]
    for number, metrics in shown.items():
        assert metrics["sharpe"] == pytest.approx(report["windows"][number]["metrics"]["agent"]["sharpe"])
    assert not (folder / ".cache/walk_forward").exists()
    assert "Agent by window" in own.run("MLOps", "summary").stdout


@pytest.mark.slow
def test_a_stage_killed_ten_times_ends_with_the_same_bytes(own: Project) -> None:
    own.update({"walk_forward.windows": 3, "execution": {"kind": "processes", "workers": 2}})
    own.repro()
    undisturbed = own.outputs()
    for name in [name for name in undisturbed if "walk_forward" in name]:
        (own.folder / name).unlink(missing_ok=True)
    own.repro("prepare")
    chance, killed = random.Random(3), 0
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    while True:
        stage = subprocess.Popen(STAGE, cwd=own.folder, env=environment, stderr=subprocess.DEVNULL)
        try:
            # Later and later, so that some kills fall into a start and others into a training.
            code = stage.wait(chance.uniform(0, 4 + 4 * killed) if killed < 10 else None)
            break
        except subprocess.TimeoutExpired:
            stage.send_signal(chance.choice([signal.SIGKILL, signal.SIGTERM]))
            stage.wait()
            killed += 1
            time.sleep(0.5)
    assert code == 0
    after = own.outputs()
    assert [name for name in undisturbed if "walk_forward" in name and undisturbed[name] != after[name]] == []
    assert killed > 2


@pytest.mark.slow
def test_too_many_windows_are_refused_before_anything_is_trained(own: Project) -> None:
    own.update({"walk_forward.windows": 9})
    done = own.run("dvc", "repro", "validate_data", check=False)
    assert done.returncode != 0
    assert "walk_forward.windows: expected at most 5 with test spans of 490 bars, found 9" in done.stderr
