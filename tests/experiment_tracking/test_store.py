"""The store: where it is, that its creation survives kills and full disks, and that its password stays secret."""

import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from mlflow.tracking import MlflowClient

from MLOps.config.tracking import TrackingConfig
from MLOps.errors import UserError
from MLOps.experiment_tracking.address import store_uri, without_password
from MLOps.experiment_tracking.record import flatten
from MLOps.experiment_tracking.store import connect
from tests.project import ROOT

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
        ("postgresql://ann:s/e@cret@db/mlflow?sslmode=require", "postgresql://***@db/mlflow?sslmode=require"),
        (
            "postgresql://db/mlflow?user=ann&password=secret&port=1",
            "postgresql://db/mlflow?user=ann&password=***&port=1",
        ),
        ("cannot connect to http://ann:secret@host, again", "cannot connect to http://***@host, again"),
        ("sqlite:////home/ann@host/mlflow.db", "sqlite:////home/ann@host/mlflow.db"),
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
    ],
)
def test_a_password_never_reaches_a_message(uri: str, told: str) -> None:
    assert without_password(uri) == told


def test_a_login_in_the_address_of_a_server_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow prints the address of a server with each run."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:secret@127.0.0.1:9")
    with pytest.raises(UserError, match="set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD") as told:
        connect(CONFIG)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_login_is_told(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            healthy = self.path == "/health"
            self.send_response(200 if healthy else status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret-of-ann")
        with pytest.raises(UserError, match="refuses the login") as told:
            connect(CONFIG)
        server.shutdown()
    assert "secret-of-ann" not in str(told.value)


def test_parameters_are_flat() -> None:
    assert flatten({"a": {"b": {"c": 1}, "d": [1, 2]}, "e": None}) == {"a.b.c": 1, "a.d": [1, 2], "e": None}


# A process that connects to the store in its folder, as every stage does first.
CONNECT = """
import resource, sys
if len(sys.argv) > 1:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
from MLOps.config.tracking import TrackingConfig
from MLOps.experiment_tracking.store import connect
print("connecting", flush=True)
client, experiment = connect(TrackingConfig(uri="sqlite:///mlflow.db", experiment="t", registered_model="m"))
client.create_run(experiment)
"""


def connecting(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return subprocess.Popen(
        [sys.executable, "-c", CONNECT, *arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_first_use(folder: Path, after_s: float) -> None:
    process = connecting(folder)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(after_s)
    process.kill()
    process.wait()


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_a_kill_during_first_use_leaves_a_store_that_the_next_use_makes(kills: int, tmp_path: Path) -> None:
    moments = np.random.default_rng(kills).uniform(0.0, 2.5, kills)
    for number, moment in enumerate(moments):
        folder = tmp_path / str(number)
        folder.mkdir()
        kill_first_use(folder, moment)
        again = connecting(folder)
        _, told = again.communicate()
        assert again.returncode == 0, (moment, told[-2000:])


def test_a_full_disk_during_first_use_leaves_nothing_behind(tmp_path: Path) -> None:
    limited = connecting(tmp_path, "100000")
    _, told = limited.communicate()
    assert limited.returncode != 0
    assert "UserError" in told and "cannot be reached" in told and "check the disk" in told, told[-2000:]
    assert list(tmp_path.glob("*.db")) + list(tmp_path.glob(".partial*")) == []
    again = connecting(tmp_path)
    again.communicate()
    assert again.returncode == 0


def test_several_first_uses_at_once_make_one_store(tmp_path: Path) -> None:
    processes = [connecting(tmp_path) for _ in range(4)]
    told = [process.communicate()[1][-2000:] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0, 0], told
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 't'")
    assert len(client.search_runs([experiment.experiment_id])) == 4


def test_a_damaged_store_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow.db").write_bytes(b"SQLite format 3\x00" + bytes(5000))
    config = TrackingConfig(uri=f"sqlite:///{tmp_path}/mlflow.db", experiment="t", registered_model="m")
    with pytest.raises(UserError, match="restore the file or move it away"):
        connect(config)
