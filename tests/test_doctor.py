"""The doctor finds what is missing, and says what to do about it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from MLOps.doctor import Check, diagnose, table

ROOT = Path(__file__).parents[1]


@pytest.fixture
def project_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the doctor looks at, and a store of its own."""
    for name in ("params.yaml", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "data" / "sample", tmp_path / "data" / "sample")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def found(name: str) -> Check:
    return next(check for check in diagnose() if check.name == name)


def test_a_machine_with_everything_is_ready(project_folder: Path) -> None:
    checks = diagnose()
    assert [check for check in checks if check.status == "failed"] == []
    assert table(checks).endswith("ready")


def _edit(name: str, old: str, new: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text((folder / name).read_text().replace(old, new))


def _labelled(folder: Path, path: str) -> None:
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["data"]["source"], params["data"]["labelled"]["path"] = "labelled", path
    params["labels"] = {"kind": "target", "n_classes": 5, "horizon_rows": 1}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


@pytest.mark.parametrize(
    ("name", "spoil", "fix"),
    [
        ("dataset", lambda folder: shutil.rmtree(folder / "data"), "git checkout data/sample"),
        (
            "dataset",
            lambda folder: _labelled(folder, "data/sample/gone.csv"),
            "set data.labelled.path",
        ),
        ("packages", lambda folder: (folder / "requirements.txt").write_text("no-such-package==1.0\n"), "pip install"),
        ("params.yaml", _edit("params.yaml", "seed: 7", "sede: 7"), "correct it"),
        ("MLflow store", _edit("params.yaml", "sqlite:///mlflow.db", "sqlite:////nowhere/mlflow.db"), "tracking.uri"),
    ],
)
def test_what_is_missing_fails_with_a_fix(
    name: str, spoil: Callable[[Path], object], fix: str, project_folder: Path
) -> None:
    spoil(project_folder)
    check = found(name)
    assert check.status == "failed"
    assert fix in check.fix
    assert "1 of" in table(diagnose())


def test_scarce_disk_and_memory_are_warnings(project_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("MLOps.doctor.DISK_GB", 1e9)
    monkeypatch.setattr("MLOps.doctor.MEMORY_GB", 1e9)
    assert {found("disk").status, found("memory").status} == {"warning"}


def test_the_command_ends_with_a_status(project_folder: Path) -> None:
    def run() -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            [sys.executable, "-m", "MLOps", "doctor"], capture_output=True, text=True, env=environment, check=False
        )

    assert run().returncode == 0
    (project_folder / "params.yaml").unlink()
    spoilt = run()
    assert spoilt.returncode == 1
    assert "params.yaml: no such file" in spoilt.stdout
