"""Runs of killed stages are ended by the next run of the same stage, and by no other."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from MLOps.config.tracking import TrackingConfig
from MLOps.experiment_tracking.record import Record
from MLOps.experiment_tracking.runs import Runs
from tests.project import ROOT

# Begins the run of the stage that is named and is killed in it.
KILLED = """
import os, sys
from pathlib import Path
from MLOps.config.tracking import TrackingConfig
from MLOps.experiment_tracking.record import Record
from MLOps.experiment_tracking.runs import Runs
config = TrackingConfig(uri=sys.argv[1], experiment="t", registered_model="m")
print(Runs(config).start(Record(sys.argv[2], Path("records"), {}, {})).run_id, flush=True)
os.kill(os.getpid(), 9)
"""


def killed(uri: str, stage: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, uri, stage],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -9, done.stderr
    return done.stdout.strip()


def test_the_next_run_of_a_stage_ends_what_a_kill_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    same, other_variant = killed(uri, "train_agent/ppo"), killed(uri, "train_agent/a2c")
    runs = Runs(TrackingConfig(uri=uri, experiment="t", registered_model="m"))
    first = runs.start(Record("train_agent/ppo", tmp_path, {}, {})).run_id
    second = runs.start(Record("train_agent/ppo", tmp_path, {}, {})).run_id
    status = {run_id: runs.client.get_run(run_id).info.status for run_id in (same, other_variant, first, second)}
    # This process lives, so its runs do.
    assert status == {same: "KILLED", other_variant: "RUNNING", first: "RUNNING", second: "RUNNING"}
