"""MLflow's servers, started with the store and the model of params.yaml."""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from typing import IO

from MLOps.commands.browser import open_page
from MLOps.config.params import load_params
from MLOps.config.schema import as_json
from MLOps.config.serving import SETTINGS
from MLOps.experiment_tracking.address import store_uri, without_password

START_TIMEOUT_S = 60.0
# No usage reports, and no bar for each file that is copied.
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}


def serve_model(alias: str, workers: int, host: str, port: int) -> int:
    """Serve the version that `alias` points at until it is ended; the exit status."""
    params = load_params()
    tracking = params.tracking
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "--workers", str(workers)]
    command += ["--host", host, "--port", str(port), "--model-uri", f"models:/{tracking.registered_model}@{alias}"]
    return run(command, {"MLFLOW_TRACKING_URI": store_uri(tracking), SETTINGS: json.dumps(as_json(params.serving))})


def show_runs(host: str, port: int, browser: bool | None) -> int:
    """Print and open the page of the pipeline's runs, of MLflow's own pages served until they are ended."""
    from MLOps.experiment_tracking.store import connect

    tracking = load_params().tracking
    uri, experiment_id = store_uri(tracking), connect(tracking)[1]
    if uri.startswith(("http://", "https://")):
        print(f"runs: {runs_page(without_password(uri), experiment_id)}")
        open_page(runs_page(uri, experiment_id), browser)
        return 0
    url = f"http://{host}:{port}"
    print(f"runs: {runs_page(url, experiment_id)}", flush=True)
    page = threading.Thread(target=_open_when_up, args=(url, experiment_id, browser), daemon=True)
    page.start()
    return run([sys.executable, "-m", "mlflow", "ui", "--host", host, "--port", str(port), "--backend-store-uri", uri])


def runs_page(server: str, experiment_id: str) -> str:
    """The runs of an experiment, among MLflow's pages for trained models; it opens at those for language models."""
    return f"{server.rstrip('/')}/#/experiments/{experiment_id}/runs?workflowType=machine_learning"


def run(command: Sequence[str], variables: Mapping[str, str] | None = None, stdout: IO[str] | None = None) -> int:
    """Run `command` in the foreground; its exit status, which is 0 where Ctrl-C ended a server."""
    process = subprocess.Popen(command, env={**os.environ, **QUIET, **(variables or {})}, stdout=stdout)
    try:
        return process.wait()
    except KeyboardInterrupt:
        # The terminal has told the process too.
        process.wait()
        return 0


def _open_when_up(url: str, experiment_id: str, browser: bool | None) -> None:
    give_up = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < give_up:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=1).close()  # noqa: S310 - our own server
        except OSError:
            time.sleep(0.2)
        else:
            open_page(runs_page(url, experiment_id), browser)
            return
