"""What is written is read again; what a killed process left half-written is known by its id, and deleted."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from MLOps.artifacts import PARTIAL, delete_partial, read_table, whole_file, whole_folder, write_table
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


@pytest.mark.parametrize(
    "values",
    [
        pd.date_range("2020", periods=3, unit="s"),  # Parquet has milliseconds at the most
        pd.date_range("2020", periods=3, unit="ns", tz="UTC"),
        pd.to_timedelta([1, 2, 3], unit="s"),
        pd.Categorical([1, 2, 1]),
        pd.Series(["a", "", "b"], dtype="object"),
        pd.array([1, None, 3], dtype="Int64"),
        np.array([1, 2, 3], dtype="uint32"),
        [0.1, np.nan, np.inf],
    ],
    ids=lambda values: str(getattr(values, "dtype", "float")),
)
def test_a_table_of_any_type_is_read_again(tmp_path: Path, values: Any) -> None:
    """Its hash is of what is read, which may be of another type than what was written."""
    write_table(file := tmp_path / "table.parquet", written := pd.DataFrame({"column": values}))
    pd.testing.assert_frame_equal(read_table(file), written, check_dtype=False, check_categorical=False)
