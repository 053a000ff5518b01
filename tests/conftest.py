"""What several test modules share: one real run of the small pipeline."""

import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from tests.project import SMALL, Project

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"


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
    return Project(folder)


@pytest.fixture
def own(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, its cache and its store, to do anything with."""
    shutil.copytree(finished.folder, tmp_path / "own", symlinks=True)
    return Project(tmp_path / "own")
