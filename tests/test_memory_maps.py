"""Arrays in files that have no name."""

import errno
from pathlib import Path

import numpy as np
import pytest

from MLOps.memory_maps import map_array, mapped_rows, save_array


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_blocks_follow_each_other() -> None:
    table = np.arange(60, dtype=np.float32).reshape(12, 5)
    blocks = [table[:3], table[3:3], np.asfortranarray(table[3:10]), table[10:]]
    mapped = mapped_rows(blocks)
    assert mapped.dtype == np.float32 and mapped.flags.c_contiguous
    np.testing.assert_array_equal(mapped, table)


def test_the_array_outlives_its_file_which_leaves_nothing(tmp_path: Path) -> None:
    mapped = mapped_rows([np.ones((4, 2))])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert mapped.sum() == 8


def test_the_rows_are_those_of_a_file_until_they_are_written() -> None:
    """Anonymous memory does not grow with the array, and what is changed is the process's own."""

    def resident_mib() -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024

    if not Path("/proc/self/status").exists():
        pytest.skip("needs Linux's account of a process's memory")
    before = resident_mib()
    mapped = mapped_rows(np.full((1024, 1024), number, np.float32) for number in range(64))
    assert mapped.mean() == 31.5
    assert resident_mib() - before < 64  # of 256
    mapped[0] = -1
    assert mapped[0, 0] == -1


@pytest.mark.parametrize(
    "array", [np.arange(6.0).reshape(2, 3), np.array(["2020-01-01"], "datetime64[us]"), np.asfortranarray(np.eye(3))]
)
def test_a_saved_array_is_mapped(tmp_path: Path, array: np.ndarray) -> None:
    save_array(tmp_path / "array.npy", array)
    np.testing.assert_array_equal(map_array(tmp_path / "array.npy"), array)
    np.testing.assert_array_equal(np.load(tmp_path / "array.npy"), array)


def test_a_full_disk_is_told_by_its_number() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs a device that is always full")
    with pytest.raises(OSError) as told:
        save_array(Path("/dev/full"), np.zeros(10_000))
    assert told.value.errno == errno.ENOSPC
