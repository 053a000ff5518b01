"""The store is set in one place, overridden by one variable, and its password is told to nobody."""

import pytest

from MLOps.config.params import TrackingConfig
from MLOps.experiment_tracking.record import flatten
from MLOps.experiment_tracking.store import store_uri, without_password

CONFIG = TrackingConfig(uri="sqlite:///mlflow.db", experiment="trading", registered_model="trading-agent")


def test_the_variable_overrides_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert store_uri(CONFIG) == "sqlite:///mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert store_uri(CONFIG) == "http://127.0.0.1:5000"


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("postgresql://ann:secret@db:5432/mlflow", "postgresql://***@db:5432/mlflow"),
        ("http://ann:se@cret@host", "http://***@host"),
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
    ],
)
def test_a_password_never_reaches_a_message(uri: str, told: str) -> None:
    assert without_password(uri) == told


def test_parameters_are_flat() -> None:
    assert flatten({"a": {"b": {"c": 1}, "d": [1, 2]}, "e": None}) == {"a.b.c": 1, "a.d": [1, 2], "e": None}
