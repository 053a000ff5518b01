"""Runs of killed stages and commands are ended by whoever uses the store next; the commit of a result."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from MLOps.config.tracking import TrackingConfig
from MLOps.experiment_tracking.record import Record
from MLOps.experiment_tracking.runs import Runs
from tests.project import ROOT

# Begins the run of the stage that is named, and one nested in it, and is killed.
KILLED = """
import os, sys
from pathlib import Path
from MLOps.config.tracking import TrackingConfig
from MLOps.experiment_tracking.record import Record
from MLOps.experiment_tracking.runs import Runs
config = TrackingConfig(uri=sys.argv[1], experiment="t", registered_model="m")
run = Runs(config).start(Record(sys.argv[2], Path("records"), {}, {}))
with run.nested("seed", "seed 0", {"number": 0}) as below:
    print(run.run_id, below.run_id, flush=True)
    os.kill(os.getpid(), 9)
"""


# A program of this name is taken for DVC.
DVC = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[2:]])"


def killed(uri: str, stage: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, uri, stage],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -9, done.stderr
    return done.stdout.split()


def test_the_next_to_use_the_store_ends_what_kills_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    left = killed(uri, "train_agent/ppo") + killed(uri, "train_agent/a2c")
    config = TrackingConfig(uri=uri, experiment="t", registered_model="m")
    run = Runs(config).start(Record("train_agent/ppo", tmp_path, {}, {})).run_id
    runs = Runs(config)
    status = {run_id: runs.client.get_run(run_id).info.status for run_id in (*left, run)}
    # This process lives, so its run does.
    assert status == {**dict.fromkeys(left, "KILLED"), run: "RUNNING"}


def test_the_run_of_a_command_whose_stage_was_killed_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    (tmp_path / "dvc").write_text(DVC)
    command = [sys.executable, str(tmp_path / "dvc"), "repro", KILLED, uri, "ingest"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=True)
    runs = Runs(TrackingConfig(uri=uri, experiment="t", registered_model="m"))
    found = runs.client.search_runs([runs.experiment_id])
    assert {run.data.tags["stage"]: run.info.status for run in found} == dict.fromkeys(
        ("repro", "ingest", "seed"), "KILLED"
    )


def test_a_nested_run_ends_as_its_block_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    runs = Runs(TrackingConfig(uri=f"sqlite:///{tmp_path}/mlflow.db", experiment="t", registered_model="m"))
    run = runs.start(Record("train_agent/ppo", tmp_path, {}, {}))
    with run.nested("seed", "seed 0", {"number": 0}) as good:
        good.log(3, {"validation_reward": 0.5})
    with pytest.raises(ValueError, match="at once"), run.nested("seed", "seed 1", {"number": 1}) as bad:
        raise ValueError("at once")
    found = {one.run_id: runs.client.get_run(one.run_id) for one in (good, bad, run)}
    assert [one.info.status for one in found.values()] == ["FINISHED", "FAILED", "RUNNING"]
    assert found[good.run_id].data.metrics == {"validation_reward": 0.5}
    assert found[good.run_id].data.params == {"number": "0"}
    assert found[bad.run_id].data.tags["failure"] == "ValueError: at once"
    assert {found[one.run_id].data.tags["mlflow.parentRunId"] for one in (good, bad)} == {run.run_id}


def test_the_first_commit_of_a_result_is_that_of_its_oldest_finished_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "dvc.yaml"):  # which a run logs
        shutil.copy(ROOT / name, tmp_path)
    runs = Runs(TrackingConfig(uri=f"sqlite:///{tmp_path}/mlflow.db", experiment="t", registered_model="m"))
    record = Record("backtest", tmp_path / "record", {}, {})
    assert runs.first_commit(record) == "unknown"
    for commit in ("first", "second"):
        monkeypatch.setattr("MLOps.experiment_tracking.runs.current_commit", lambda commit=commit: commit)
        runs.start(record).finish(record)
    assert runs.first_commit(record) == "first"
