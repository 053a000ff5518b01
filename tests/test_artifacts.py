"""What a killed process leaves half-written is known by the process's id, and deleted when it is gone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from MLOps.artifacts import PARTIAL, delete_partial, whole_file, whole_folder
from tests.project import ROOT

KILLED = """
import os, sys
from pathlib import Path
from MLOps.artifacts import {writer}
with {writer}(Path(sys.argv[1])) as temporary:
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("writer", ["whole_file", "whole_folder"])
def test_what_a_killed_process_left_is_deleted(tmp_path: Path, writer: str) -> None:
    path = tmp_path / "deep" / "x"
    done = subprocess.run([sys.executable, "-c", KILLED.format(writer=writer), str(path)], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    left = list(path.parent.iterdir())
    assert [one.name.startswith(PARTIAL) for one in left] == [True]
    delete_partial(tmp_path.rglob(f"{PARTIAL}*"))
    assert list(path.parent.iterdir()) == []


def test_what_a_living_process_writes_stays(tmp_path: Path) -> None:
    with whole_file(tmp_path / "x") as file, whole_folder(tmp_path / "y") as folder:
        (folder / "z").write_text("z")
        file.write_text("x")
        assert file.name.startswith(f"{PARTIAL}{os.getpid()}-")
        delete_partial(tmp_path.rglob(f"{PARTIAL}*"))
    assert (tmp_path / "x").read_text() == "x"
    assert (tmp_path / "y" / "z").read_text() == "z"
