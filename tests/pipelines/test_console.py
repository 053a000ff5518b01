"""What a stage says on the console and in its log file, and how Ctrl-C ends it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from MLOps.errors import INTERRUPTED
from MLOps.experiment_tracking import processes
from MLOps.experiment_tracking.processes import Verbosity
from MLOps.pipelines.console import Console
from MLOps.pipelines.interruption import SENTENCE
from tests.project import ROOT, Project

# A stage that takes for ever, and says when it has begun.
ENDLESS = """
import time
from MLOps.pipelines.stage import Stage
with Stage("ingest") as stage, stage.run.nested("part", "part 0", {}) as part:
    print("begun", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("verbosity", "shown"),
    [
        ("normal", ["a: warning: b", "c"]),
        ("quiet", ["a: warning: b"]),
        ("verbose", ["a: warning: b", "step 3: loss 0.5", "c"]),
    ],
)
def test_the_console_says_what_is_asked_for_and_the_log_everything(
    verbosity: Verbosity,
    shown: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    before = sys.stdout
    console = Console(tmp_path / "train/lstm.log", verbosity)
    print("a: warning: b")
    console.step(3, {"loss": 0.5})
    print("c", end="")
    console.restore()
    console.restore()
    assert sys.stdout is before
    assert capsys.readouterr().out.splitlines() == shown
    lines = (tmp_path / "train/lstm.log").read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == ["a: warning: b", "step 3: loss 0.5", "c"]
    # Progress bars ask this variable.
    assert os.environ["TTY_COMPATIBLE"] == ("0" if verbosity == "quiet" else "1")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["repro"], "normal"),
        (["repro", "--quiet"], "quiet"),
        (["repro", "-fq"], "quiet"),
        (["repro", "-v", "backtest"], "verbose"),
        (["exp", "run", "-S", "agents.ppo.gamma=0.9", "--name", "quiet"], "normal"),
    ],
)
def test_a_stage_is_as_loud_as_dvc(words: list[str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Dvc(psutil.Process):
        def cmdline(self) -> list[str]:
            return [sys.executable, "-m", "dvc", *words]

    monkeypatch.setattr(processes, "dvc_ancestor", Dvc)
    assert processes.verbosity() == expected


def test_ctrl_c_ends_a_stage_in_a_sentence_and_its_runs_as_killed(tmp_path: Path) -> None:
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_TRACKING")} | {
        "PYTHONPATH": str(ROOT)
    }
    stage = subprocess.Popen(
        [sys.executable, "-c", ENDLESS],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert stage.stdout is not None
    assert stage.stdout.readline() == "begun\n"
    stage.send_signal(signal.SIGINT)
    _, said = stage.communicate(timeout=60)
    assert said.splitlines()[-1] == SENTENCE
    assert "Traceback" not in said
    assert stage.returncode == INTERRUPTED
    runs = Project(tmp_path).client().search_runs(["1"])
    assert [run.info.status for run in runs] == ["KILLED", "KILLED"]
    assert {run.data.tags["failure"] for run in runs} == {"interrupted"}
    assert "KeyboardInterrupt" in (tmp_path / ".cache/logs/ingest.log").read_text()


def test_ctrl_c_during_imports_ends_in_the_sentence_too() -> None:
    code = "import MLOps.pipelines, time; print('begun', flush=True); time.sleep(60)"
    stage = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert stage.stdout is not None
    stage.stdout.readline()
    time.sleep(0.1)
    stage.send_signal(signal.SIGINT)
    assert stage.communicate(timeout=60)[1] == f"{SENTENCE}\n"
    assert stage.returncode == INTERRUPTED


def test_a_stage_ends_with_what_it_made_and_its_run_keeps_the_log(finished: Project) -> None:
    log = (finished.folder / ".cache/logs/features.log").read_text()
    assert "features: done in " in log
    assert " s: data/processed/features 12154 rows of 5 symbols; data/processed/labels.parquet" in log
    client = finished.client()
    for stage in ("ingest", "train_agent", "backtest"):
        (run,) = client.search_runs(["1"], f"tags.stage = '{stage}'")
        assert [file.path for file in client.list_artifacts(run.info.run_id, "log")], stage
        assert run.data.tags["mlflow.note.content"], "what dvc.yaml says of the stage"
