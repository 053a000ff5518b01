"""The doctor finds what is missing, and says what to do about it."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import mlflow
import pytest
import yaml
from alembic.config import Config
from alembic.script import ScriptDirectory

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
            lambda folder: _labelled(folder, "gone.csv"),
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


def _params(folder: Path, **values: object) -> None:
    params = yaml.safe_load((folder / "params.yaml").read_text())
    for key, value in values.items():
        *sections, last = key.split("__")
        place = params
        for name in sections:
            place = place[name]
        place[last] = value
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts an `nvidia-smi` that prints the given text before all other programs."""

    def put(output: str) -> None:
        folder = tmp_path / "tools"
        folder.mkdir(exist_ok=True)
        (folder / "nvidia-smi").write_text(f"#!/bin/sh\nprintf '{output}'\n")
        (folder / "nvidia-smi").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    return put


@pytest.mark.parametrize(
    ("url", "ssh", "status", "said"),
    [
        ("/mnt/shared/dvc", "", "ok", "/mnt/shared/dvc"),
        ("ssh://ann:secret@host/srv/dvc", "hostname host", "warning", "does not check"),
        ("ssh://store/srv/dvc", "hostname store\nproxycommand ssh -W localhost:22 host", "ok", "ssh://store/srv/dvc"),
        ("ssh://store/srv/dvc", "proxycommand none", "warning", "does not check"),
    ],
)
def test_a_host_whose_key_dvc_does_not_check(
    url: str, ssh: str, status: str, said: str, project_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project_folder / ".dvc").mkdir()
    (project_folder / ".dvc/config").write_text(f"[core]\n    remote = team\n['remote \"team\"']\n    url = {url}\n")
    (project_folder / "ssh").write_text(f"#!/bin/sh\nprintf '{ssh}\\n'\n")
    (project_folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{project_folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("MLOps.doctor.REMOTE_PACKAGES", {})
    check = found("DVC's remote")
    assert (check.status, said in check.found) == (status, True)
    assert "secret" not in check.found


def test_a_remote_without_its_package_is_told(project_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found("DVC's remote").found == "none"
    (project_folder / ".dvc").mkdir()
    (project_folder / ".dvc/config").write_text("[core]\n    remote = a\n['remote \"a\"']\n    url = s3://bucket\n")
    monkeypatch.setattr("MLOps.doctor.REMOTE_PACKAGES", {"s3": "no-such-package"})
    check = found("DVC's remote")
    assert (check.status, check.fix) == ("warning", "`pip install -r requirements-team.txt`")


def test_a_gpu_is_told_with_its_free_memory(project_folder: Path, tools: Callable[[str], None]) -> None:
    tools("1000, NVIDIA A\\n70000, NVIDIA B\\n")
    assert found("accelerator").found.startswith("NVIDIA B, 73 GB free")
    _params(project_folder, predictors__lstm__device="cuda")
    assert found("accelerator").status == "ok"
    _params(project_folder, predictors__lstm__device="mps")
    check = found("accelerator")
    assert (check.status, check.found) == ("failed", "predictors.lstm.device is mps; found NVIDIA B")
    _params(project_folder, predictors__lstm__device="auto")
    tools("900, NVIDIA A\\n")
    check = found("accelerator")
    assert check.status == "warning" and "device: cpu" in check.fix


def test_a_device_that_is_asked_for_and_absent_fails(project_folder: Path, tools: Callable[[str], None]) -> None:
    tools("")
    assert found("accelerator").found.startswith("none")
    _params(project_folder, agents__ppo__device="cuda")
    check = found("accelerator")
    assert check.status == "failed" and "agents.ppo.device is cuda" in check.found


def test_the_file_of_headlines_is_looked_for(project_folder: Path) -> None:
    _params(project_folder, data__sentiment__enabled=True, data__sentiment__path="gone.csv")
    check = found("dataset")
    assert check.status == "failed" and "set data.sentiment.path" in check.fix


def test_the_package_of_the_source_is_looked_for(project_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    _params(project_folder, data__source="ccxt", data__symbols=["BTC/USD"], data__start="2024-01-01")
    _params(project_folder, data__end="2024-02-01")
    monkeypatch.setattr("MLOps.doctor._network", lambda params: Check("network", "ok", ""))
    monkeypatch.setattr("MLOps.doctor.version", absent)
    monkeypatch.setattr("MLOps.doctor._packages", lambda path: Check("packages", "ok", ""))
    check = found("source packages")
    assert check.status == "failed" and "requirements-sources.txt" in check.fix


def test_the_tables_of_the_store_are_compared_with_those_of_mlflow(project_folder: Path) -> None:
    store = Path("mlflow.db")

    def of(schema: str) -> Check:
        store.unlink(missing_ok=True)
        with closing(sqlite3.connect(store)) as database, database:
            database.execute("CREATE TABLE experiments (name TEXT)")
            database.execute("CREATE TABLE alembic_version (version_num TEXT)")
            database.execute("INSERT INTO alembic_version VALUES (?)", (schema,))
        return found("MLflow store")

    config = Config()
    config.set_main_option("script_location", str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    known = ScriptDirectory.from_config(config)
    (head,) = known.get_heads()
    assert of(head).status == "ok"
    older = of(str(known.get_revision(head).down_revision))
    assert older.status == "failed" and "mlflow db upgrade sqlite:///mlflow.db" in older.fix
    newer = of("fedcba987654")
    assert newer.status == "failed" and "newer MLflow" in newer.found


def test_the_disk_of_every_folder_is_looked_at(project_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC's cache may be on another disk."""
    (project_folder / ".dvc").mkdir()
    (project_folder / ".dvc" / "config").write_text("[cache]\n    dir = /proc\n")
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: SimpleNamespace(free=0 if Path(path) == Path("/proc") else 1e12)
    )
    check = found("disk")
    assert (check.status, check.found) == ("warning", "0.0 GB for /proc")


def test_scarce_disk_and_memory_are_warnings(project_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("MLOps.doctor.DISK_GB", 1e9)
    monkeypatch.setattr("MLOps.doctor.MEMORY_GB", 1e9)
    assert {found("disk").status, found("memory").status} == {"warning"}


def test_dvc_keeps_its_state_in_the_working_tree(project_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_SITE_CACHE_DIR", raising=False)
    assert found("DVC's state").status == "warning", "by default every user of the machine may write there"
    (project_folder / ".dvc").mkdir()
    for folder, status in {project_folder / ".cache/dvc": "ok", Path(".cache/dvc"): "warning"}.items():
        (project_folder / ".dvc/config.local").write_text(f"[core]\n    site_cache_dir = {folder}\n")
        assert found("DVC's state").status == status, folder


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
