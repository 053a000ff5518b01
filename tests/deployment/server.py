"""A real `mlflow models serve`, and requests to it."""

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from MLOps.commands.servers import free_port
from MLOps.deployment.trading_model import TradingModel
from MLOps.trading import Account
from tests.deployment.decisions import Ask, as_parameters
from tests.servers import running


@contextmanager
def served(store: Path, folder: Path) -> Iterator[str]:
    """Serve the candidate in the database `store` from the empty `folder`, where neither this repository nor a variable
    leads to its code. Gives the address of its invocations."""
    address = f"http://127.0.0.1:{free_port()}"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "MLFLOW"))}
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{store}"
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "--host", "127.0.0.1"]
    command += ["--port", address.rpartition(":")[2], "--model-uri", "models:/trading-agent@candidate"]
    with running(command, f"{address}/ping", folder, environment):
        yield f"{address}/invocations"


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
