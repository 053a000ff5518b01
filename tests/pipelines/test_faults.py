"""A machine or a store that fails: one sentence, nothing half-written, and the same command goes on afterwards."""

import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlflow.exceptions import MlflowException

from MLOps.artifacts import PARTIAL
from MLOps.pipelines.failures import exit_with_sentence
from tests.project import Project, environment

STAGES = {
    "ingest": "data/raw/bars.parquet",
    "validate_data": "data/processed/bars.parquet",
    "features": "data/processed/features",
    "train_predictor logistic": "models/predictors/logistic",
    "validate_predictors": "reports/verdicts.json",
    "train_agent ppo": "models/agents/ppo",
    "backtest": "reports/backtest/report.json",
    "walk_forward": "reports/walk_forward/report.json",
}
QUICK = [("ingest", 100), ("ingest", 200_000), ("validate_data", 5000)]
LIMITS = [0, 1000, 20_000, 300_000, 600_000]  # bytes that a file may have: writes beyond that fail in the kernel
FAILING_FROM = [1, 10, 60, 250]  # numbers of a write


def started(project: Project, stage: str, **options: Any) -> subprocess.CompletedProcess[str]:
    # Python 3.11 takes a cut file of bytecode for a whole one.
    variables = environment() | {"PYTHONDONTWRITEBYTECODE": "1"} | options.pop("variables", {})
    return subprocess.run(
        [sys.executable, "-m", f"MLOps.pipelines.{stage.split(maxsplit=1)[0]}", *stage.split()[1:]],
        cwd=project.folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=600,
        **options,
    )


@pytest.mark.parametrize(
    ("stage", "limit"),
    [
        pytest.param(stage, limit, marks=[] if (stage, limit) in QUICK else pytest.mark.slow)
        for stage, limit in [*QUICK, *((stage, limit) for stage in STAGES for limit in LIMITS)]
    ],
)
def test_a_file_that_cannot_grow_is_one_sentence(own: Project, stage: str, limit: int) -> None:
    made = outputs(own, stage)
    done = started(own, stage, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    ends_well(own, stage, done, made)


@pytest.fixture(scope="module")
def failing_writes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that makes writes fail with EIO, compiled of failing_writes.c."""
    if (compiler := shutil.which("cc")) is None:
        pytest.skip("no C compiler is installed: expected cc on the PATH")
    library = tmp_path_factory.mktemp("failing_writes") / "failing_writes.so"
    source = Path(__file__).with_name("failing_writes.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return library


@pytest.mark.slow
@pytest.mark.parametrize("first", FAILING_FROM)
@pytest.mark.parametrize("stage", STAGES)
def test_a_disk_that_breaks_is_one_sentence(own: Project, failing_writes: Path, stage: str, first: int) -> None:
    """From its `first` write on, whatever library writes, the stage gets EIO."""
    made = outputs(own, stage)
    preloaded = {"LD_PRELOAD": str(failing_writes), "EIO_UNDER": str(own.folder), "EIO_FROM": str(first)}
    ends_well(own, stage, started(own, stage, variables=preloaded), made)


def outputs(project: Project, stage: str) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in files(project.folder / STAGES[stage])}


def ends_well(project: Project, stage: str, done: subprocess.CompletedProcess[str], before: dict[Path, bytes]) -> None:
    """One sentence, the output whole or not there, and the same command goes on."""
    if done.returncode == 0:
        assert outputs(project, stage) == before, "nothing failed after all"
        return
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith(f"{stage.replace(' ', '/')}: ")]
    assert len(told) == 1, done.stderr
    assert "`dvc repro` continues" in told[0]
    assert outputs(project, stage) in ({}, before), "whole or not there"
    assert not list((project.folder / "data").rglob(f"{PARTIAL}*"))
    again = project.run(f"MLOps.pipelines.{stage.split(maxsplit=1)[0]}", *stage.split()[1:])
    assert again.returncode == 0
    assert outputs(project, stage) == before
    assert "RUNNING" not in {run.info.status for run in project.client().search_runs(["1"], "tags.stage != 'repro'")}


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
