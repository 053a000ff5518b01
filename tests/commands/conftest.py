"""The project that a command runs in."""

import pytest

from tests.project import Project


@pytest.fixture
def project(own: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(own.folder)
    # Absolute: MLflow keeps connections by address, and tests of one process share them.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{own.folder}/mlflow.db")
    return own
