"""A stage ends with the `dvc` command that started it, from its first import on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from MLOps.experiment_tracking.processes import DVC_STAGE
from tests.project import ROOT, environment

STAGE = """import MLOps.pipelines, sys, time
print("began", flush=True)
time.sleep(float(sys.argv[1]))
print("went on")"""
# A program of this name is taken for DVC.
DVC = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[2:]])"


@pytest.fixture
def dvc(tmp_path: Path) -> list[str]:
    (tmp_path / "dvc").write_text(DVC)
    return [sys.executable, str(tmp_path / "dvc"), "repro"]


def test_a_stage_that_imports_ends_with_dvc(dvc: list[str]) -> None:
    command = subprocess.Popen([*dvc, STAGE, "20"], cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True)
    assert command.stdout is not None
    assert command.stdout.readline() == "began\n"
    command.kill()
    # Nobody has asked for the killed process yet. The stage has the other end of the pipe until it ends.
    assert command.stdout.read() == ""
    command.wait()


@pytest.mark.parametrize("is_orphan", [True, False])
def test_a_stage_does_not_begin_without_the_dvc_that_started_it(is_orphan: bool) -> None:
    """Killed before the stage could look for it, DVC is no ancestor any more; another program may run DVC's library."""
    variables = environment() | {DVC_STAGE: "features"}
    done = subprocess.run(
        [sys.executable, "-c", STAGE, "0"],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        text=True,
        # An orphan's parent is in another session.
        start_new_session=is_orphan,
    )
    assert (done.returncode, bool(done.stdout)) == ((1, False) if is_orphan else (0, True)), done.stderr


def test_by_hand_a_stage_needs_no_dvc() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STAGE, "0"], cwd=ROOT, env=environment(), start_new_session=True, capture_output=True
    )
    assert done.returncode == 0
    assert os.environ.get(DVC_STAGE) is None
