"""What DVC leaves half-written when it is killed is put back, and nothing else is touched."""

import json
import os
from pathlib import Path

import pytest
from dvc.lock import Lock
from dvc.utils.serialize import dump_yaml

from MLOps.pipelines import paths
from MLOps.pipelines.dvc_files import GUARDS, IN_USE, LOCK, keep_lock, recover

STAGES = {
    f"stage_{number}": {
        "cmd": f"python -m stage {number}",
        "deps": [{"path": f"in/{number}", "hash": "md5", "md5": "0" * 32, "size": 1234567}],
        "params": {"params.yaml": {"data.symbols": None, "seed": 7}},
        "outs": [{"path": f"out/{number}", "hash": "md5", "md5": "1" * 32, "size": 7654321}],
    }
    for number in range(3)
}
DEAD = 2**22 + 1  # above the largest process id that Linux gives


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    IN_USE.parent.mkdir(parents=True)
    return tmp_path


def write_lock(stages: int) -> str:
    dump_yaml(LOCK, {"schema": "2.0", "stages": dict(list(STAGES.items())[:stages])})
    return LOCK.read_text()


def test_a_lock_file_cut_anywhere_is_put_back() -> None:
    before = write_lock(2)
    keep_lock()
    after = write_lock(3)
    assert recover() == []
    assert LOCK.read_text() == after
    lines_end = {number + 1 for number, letter in enumerate(after) if letter == "\n"}
    for cut in range(0, len(after), 7):
        LOCK.write_text(after[:cut])
        recover()
        # A file that was cut between two stages is whole; DVC runs the stages that it lacks.
        assert LOCK.read_text() == before or (cut in lines_end and LOCK.read_text() == after[:cut])


def test_a_lock_file_without_a_whole_copy_is_deleted() -> None:
    LOCK.write_text(write_lock(2)[:100])
    keep_lock()
    assert len(recover()) == 1
    assert not LOCK.exists()
    keep_lock()
    assert not paths.DVC_LOCK.exists()
    assert recover() == []


@pytest.mark.parametrize("content", ["", '{"write": {"/a": {"pi', "[]", '{"write": {"/a": 1}}'])
def test_a_damaged_list_of_paths_in_use_is_deleted(content: str) -> None:
    IN_USE.write_text(content)
    assert len(recover()) == 1
    assert not IN_USE.exists()


def test_paths_of_killed_commands_are_no_longer_in_use() -> None:
    IN_USE.write_text("{}")
    assert recover() == []
    # This process has the id of a `dvc` command of earlier.
    for pid in (DEAD, os.getpid()):
        IN_USE.write_text(json.dumps({"write": {"/a": {"pid": pid, "cmd": "dvc repro"}}, "read": {}}))
        assert len(recover()) == 1
        assert not IN_USE.exists()


def test_paths_of_a_living_command_stay_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("MLOps.pipelines.dvc_files.subcommand", lambda process: "repro")
    IN_USE.write_text(json.dumps({"read": {"/a": [{"pid": os.getpid(), "cmd": "dvc repro"}]}}))
    assert recover() == []
    assert IN_USE.exists()


@pytest.mark.parametrize("guard", GUARDS)
def test_nothing_is_touched_while_dvc_writes(guard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvc.lock.DEFAULT_TIMEOUT", 0.01)
    LOCK.write_text("stages:")
    with Lock(str(guard)):
        assert recover() == []
    assert LOCK.exists()
    assert len(recover()) == 1
