"""The stage `train_predictor` under `torchrun`: what it leaves, and its ranks killed again and again."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.pipelines.test_kills import is_alive, still_running, words_of
from tests.project import SMALL, TIMEOUT_S, Project, environment

STAGE = "MLOps.pipelines.train_predictor"
TRAINED = ("data/processed/signals/", "models/predictors/", "reports/history/", "reports/metrics/", "reports/records/")
KILLS = 10
ORPHANS_S = 30


def start(project: Project, predictor: str, restarts: int = 0) -> "subprocess.Popen[str]":
    # A file, because a pipe that nobody reads would stop what writes much into it.
    log = log_of(project).open("w")
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", str(restarts)]
    return subprocess.Popen(
        [sys.executable, "-m", *torchrun, "-m", STAGE, predictor],
        cwd=project.folder,
        env=environment() | {"OMP_NUM_THREADS": "1"},
        stdout=log,
        stderr=subprocess.STDOUT,
        text=True,
    )


def log_of(project: Project) -> Path:
    return project.folder / ".cache" / "torchrun.log"


def end(torchrun: "subprocess.Popen[str]", project: Project) -> tuple[int, str]:
    """Its status, and all that it and its ranks have said."""
    status = torchrun.wait(timeout=TIMEOUT_S)
    return status, log_of(project).read_text()


def ranks_of(torchrun: "subprocess.Popen[str]") -> list[psutil.Process]:
    try:
        return [one for one in psutil.Process(torchrun.pid).children() if STAGE in words_of(one)]
    except psutil.Error:
        return []


def trained(project: Project) -> dict[str, bytes]:
    return {name: content for name, content in project.outputs().items() if name.startswith(TRAINED)}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project before its networks are trained."""
    made = Project.copy(tmp_path / "project")
    made.keep_predictors("lstm", "logistic")
    # 125 labels a batch: the shares differ.
    made.update({**SMALL, "predictors.lstm.batch_size": 125, "predictors.lstm.max_epochs": 4})
    made.commit()
    made.repro("tune", "features")
    return made


@pytest.mark.slow
def test_only_networks_are_trained_by_several_processes(project: Project) -> None:
    status, said = end(start(project, "logistic"), project)
    assert status == 1
    assert "train_predictor/logistic: ranks: expected a network, which several processes can train, found log" in said


@pytest.mark.slow
def test_dvc_takes_what_ranks_trained(project: Project) -> None:
    assert start(project, "lstm").wait(timeout=TIMEOUT_S) == 0
    project.run("dvc", "commit", "--force", "train_predictor@lstm")
    made = trained(project)
    assert project.repro("train_predictor@lstm") == ["prepare"]
    assert trained(project) == made
    runs = project.client().search_runs(["1"], "tags.stage = 'train_predictor'")
    assert [run.data.params["processes"] for run in runs] == ["2"]


@pytest.mark.slow
@pytest.mark.parametrize("restarts", [0, KILLS])
def test_ranks_killed_anywhere_end_with_the_same_bytes(restarts: int, project: Project) -> None:
    """By the command given again, and by the restarts of `torchrun`."""
    began = time.monotonic()
    assert start(project, "lstm").wait(timeout=TIMEOUT_S) == 0
    seconds = time.monotonic() - began
    whole = trained(project)
    chance, kills, finished = random.Random(restarts), 0, 0
    while kills < KILLS:
        torchrun = start(project, "lstm", restarts)
        while kills < KILLS and torchrun.poll() is None:
            time.sleep(chance.uniform(0, seconds))
            if torchrun.poll() is None and (ranks := ranks_of(torchrun)):
                number = chance.randrange(len(ranks))
                ranks[number].send_signal(signal.SIGKILL)
                kills += 1
                print(f"kill {kills}: rank {number}", flush=True)
                if not restarts:
                    break
        status, said = end(torchrun, project)
        # A kill in the last moments, or none in time.
        if status == 0:
            finished += 1
            assert trained(project) == whole
        else:
            assert not restarts, said
    status, said = end(start(project, "lstm"), project)
    assert status == 0, said
    assert trained(project) == whole
    assert still_running(project) == []
    print(f"{kills} kills, {finished} trainings ended between them")


@pytest.mark.slow
def test_ranks_end_with_torchrun(project: Project) -> None:
    torchrun = start(project, "lstm")
    while not (ranks := ranks_of(torchrun)):
        time.sleep(0.1)
    # Until they have joined, when a thread watches.
    while not list((project.folder / ".cache/training").rglob("*.safetensors")):
        time.sleep(0.1)
    torchrun.kill()
    torchrun.wait()
    assert not [one for one in psutil.wait_procs(ranks, timeout=ORPHANS_S)[1] if is_alive(one)]
