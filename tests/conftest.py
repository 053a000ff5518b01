"""What several test modules share: one real run of the small pipeline."""

import os
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock

from tests.project import SMALL, Project

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
# Each worker computes on one thread, or the threads of PyTorch would wait for each other on the shared cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A job in the background of a shell ignores it, and so would the processes that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Where MLflow's database keeps absolute paths of artifacts.
ARTIFACT_PATHS = {
    "experiments": "artifact_location",
    "logged_models": "artifact_location",
    "model_versions": "storage_location",
    "runs": "artifact_uri",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that run the pipeline come first, so that no worker is left alone with a long one at the end."""
    running = {item.path for item in items if {"finished", "own"} & set(getattr(item, "fixturenames", ()))}
    items.sort(key=lambda item: item.path not in running)


@pytest.fixture(autouse=True)
def own_tracking_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow keeps the address of a store in the environment, where the next test would find it."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Project:
    """The small pipeline after a real `dvc repro`. Shared, by the workers too: look, do not touch."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "finished"
    with FileLock(f"{folder}.lock"):
        if not (folder / ".git" / "finished").exists():
            shutil.rmtree(folder, ignore_errors=True)
            project = Project.copy(folder)
            project.update(SMALL)
            project.repro("--force")
            project.commit()
            (folder / ".git" / "finished").touch()
    project = Project(folder)
    project.keep_dvc_state()
    return project


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables, which take seconds to create; to be copied."""
    from mlflow.tracking import MlflowClient  # here, because most tests need no MLflow

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments(max_results=1)
    return path


@pytest.fixture
def own(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, its cache and its store, to do anything with."""
    folder = tmp_path / "own"
    shutil.copytree(finished.folder, folder, symlinks=True)
    with closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        for table, column in ARTIFACT_PATHS.items():
            database.execute(
                f"UPDATE {table} SET {column} = replace({column}, ?, ?)",  # noqa: S608
                (str(finished.folder), str(folder)),
            )
    project = Project(folder)
    project.keep_dvc_state()
    return project
