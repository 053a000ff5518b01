"""What several test modules share: one real run of the small pipeline."""

import os
import shutil
from pathlib import Path

import pytest

from tests.project import SMALL, Project

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The small pipeline after a real `dvc repro`. Shared: look, do not touch."""
    project = Project.copy(tmp_path_factory.mktemp("finished"))
    project.update(SMALL)
    project.repro("--force")
    project.commit()
    return project


@pytest.fixture
def own(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, its cache and its store, to do anything with."""
    shutil.copytree(finished.folder, tmp_path / "own", symlinks=True)
    return Project(tmp_path / "own")
