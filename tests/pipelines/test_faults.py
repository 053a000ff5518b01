"""A machine or a store that fails: one sentence, nothing half-written, and the same command goes on afterwards."""

import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from mlflow.exceptions import MlflowException

from MLOps.artifacts import PARTIAL
from MLOps.pipelines.failures import exit_with_sentence
from tests.project import Project, environment

STAGES = {
    "ingest": "data/raw/bars.parquet",
    "validate_data": "data/processed/bars.parquet",
    "features": "data/processed/features.parquet",
    "train_predictor logistic": "models/predictors/logistic",
    "validate_predictors": "reports/verdicts.json",
    "train_agent ppo": "models/agents/ppo",
    "backtest": "reports/backtest/report.json",
    "walk_forward": "reports/walk_forward/report.json",
}
QUICK = [("ingest", 100), ("ingest", 200_000), ("validate_data", 5000)]
LIMITS = [0, 1000, 20_000, 300_000, 600_000]  # bytes that a file may have: writes beyond that fail in the kernel


def limited(project: Project, stage: str, limit: int) -> subprocess.CompletedProcess[str]:
    # Python 3.11 takes a cut file of bytecode for a whole one.
    variables = environment() | {"PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-m", f"MLOps.pipelines.{stage.split(maxsplit=1)[0]}", *stage.split()[1:]],
        cwd=project.folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=600,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )


@pytest.mark.parametrize(
    ("stage", "limit"),
    [
        pytest.param(stage, limit, marks=[] if (stage, limit) in QUICK else pytest.mark.slow)
        for stage, limit in [*QUICK, *((stage, limit) for stage in STAGES for limit in LIMITS)]
    ],
)
def test_a_file_that_cannot_grow_is_one_sentence(own: Project, stage: str, limit: int) -> None:
    made = own.folder / STAGES[stage]
    before = {path: path.read_bytes() for path in files(made)}
    done = limited(own, stage, limit)
    if done.returncode == 0:
        assert {path: path.read_bytes() for path in files(made)} == before, "enough room after all"
        return
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith(f"{stage.replace(' ', '/')}: ")]
    assert len(told) == 1, done.stderr
    assert "`dvc repro` continues" in told[0]
    assert {path: path.read_bytes() for path in files(made)} in ({}, before), "whole or not there"
    assert not list((own.folder / "data").rglob(f"{PARTIAL}*"))
    again = own.run(f"MLOps.pipelines.{stage.split(maxsplit=1)[0]}", *stage.split()[1:])
    assert again.returncode == 0
    assert {path: path.read_bytes() for path in files(made)} == before
    assert "RUNNING" not in {run.info.status for run in own.client().search_runs(["1"], "tags.stage != 'repro'")}


def files(path: Path) -> Iterator[Path]:
    return (file for file in [path, *path.rglob("*")] if file.is_file())


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device", "models/x"),
        OSError(5, "Input/output error"),
        OSError(122, "Disk quota exceeded"),
        MlflowException("(sqlite3.OperationalError) database or disk is full"),
        MlflowException("(sqlite3.OperationalError) database is locked"),
        MlflowException("API request failed with exception HTTPConnectionPool(host='h', port=1): Max retries exceeded"),
        OSError("[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device"),
    ],
    ids=str,
)
def test_a_fault_of_the_machine_is_a_sentence(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, exit_with_sentence("train_agent/ppo"):
        try:
            raise error
        except Exception as first:
            raise RuntimeError("while it was saved") from first
    assert ended.value.code == 1
    told = capsys.readouterr().err
    assert told.startswith("train_agent/ppo: ")
    assert told.count("\n") == 1
    assert len(told) < 400
    assert "`dvc repro` continues" in told


def test_a_defect_keeps_its_trace() -> None:
    with pytest.raises(KeyError), exit_with_sentence("features"):
        raise KeyError("close")


@pytest.mark.slow
def test_a_stage_ends_with_the_dvc_command_that_started_it(own: Project) -> None:
    own.set(agents__ppo__total_timesteps=5_000_000)
    command = [sys.executable, "-m", "dvc", "repro"]
    dvc = subprocess.Popen(
        command, cwd=own.folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    stage = waited_for(dvc.pid, "MLOps.pipelines.train_agent")
    while not own.client().search_runs(["1"], "tags.stage = 'train_agent' and attributes.status = 'RUNNING'"):
        assert stage.is_running()
        time.sleep(0.2)
    dvc.send_signal(signal.SIGKILL)
    dvc.wait()
    stage.wait(timeout=30)
    assert not stage.is_running()


def waited_for(pid: int, module: str) -> psutil.Process:
    """The process that runs `module` somewhere below `pid`, once it has started."""
    give_up = time.monotonic() + 300
    while time.monotonic() < give_up:
        for process in psutil.Process(pid).children(recursive=True):
            try:
                words = process.cmdline()
            except psutil.Error:
                continue
            if "-m" in words and words[words.index("-m") + 1 :][:1] == [module]:
                return process
        time.sleep(0.1)
    raise AssertionError(f"{module} did not start")
