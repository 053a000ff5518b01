"""A real `mlflow models serve`, and requests to it."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from MLOps.deployment.trading_model import TradingModel
from MLOps.trading import Account
from tests.deployment.decisions import Ask, as_parameters

START_TIMEOUT_S = 120


@contextmanager
def served(store: Path, folder: Path) -> Iterator[str]:
    """Serve the candidate in the database `store` from the empty `folder`, where neither this repository nor a variable
    leads to its code. Gives the address of its invocations."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "MLFLOW"))}
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{store}"
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--model-uri", "models:/trading-agent@candidate"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        give_up = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=2):
                    break
            except OSError:
                if server.poll() is not None or time.monotonic() > give_up:
                    raise AssertionError((folder / "log").read_text()[-4000:]) from None
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        os.killpg(server.pid, 15)
        server.wait(timeout=30)


def ask(url: str, bars: pd.DataFrame, params: dict[str, Any] | None = None) -> tuple[int, Any]:
    """POST bars; the status and the answer."""
    # pandas' own JSON rounds to ten decimals.
    table = bars.assign(timestamp=bars["timestamp"].astype(str)) if "timestamp" in bars else bars
    rows = table.astype(object).where(table.notna(), None).to_numpy().tolist()
    body: dict[str, Any] = {"dataframe_split": {"columns": list(table.columns), "data": rows}}
    if params is not None:
        body["params"] = params
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response)["predictions"]
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["message"]


def asking(url: str, model: TradingModel) -> Ask:
    """Requests to the server as `differences` makes them; `model` says what their parameters are."""

    def answered(
        bars: pd.DataFrame, cash: float, positions: Mapping[str, Account], states: Mapping[str, Sequence[float]]
    ) -> pd.DataFrame:
        status, answer = ask(url, bars, as_parameters(model, cash, positions, states))
        assert status == 200, answer
        return pd.DataFrame(answer)

    return answered
