"""MLflow's servers, started with the store and the model of params.yaml."""

import sys
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence

from MLOps.commands.browser import open_page
from MLOps.commands.processes import run
from MLOps.config.params import load_params
from MLOps.experiment_tracking.address import store_uri, without_password

START_TIMEOUT_S = 60.0
# No usage reports, and no bar for each file that is copied.
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}


def serve_model(alias: str, workers: int, host: str, port: int) -> int:
    """Serve the version that `alias` points at until it is ended; the exit status."""
    tracking = load_params().tracking
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "--workers", str(workers)]
    command += ["--host", host, "--port", str(port), "--model-uri", f"models:/{tracking.registered_model}@{alias}"]
    return run_server(command, {"MLFLOW_TRACKING_URI": store_uri(tracking)})


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
    command = [sys.executable, "-m", "mlflow", "ui", "--host", host, "--port", str(port), "--backend-store-uri", uri]
    return run_server(command)


def runs_page(server: str, experiment_id: str) -> str:
    """The runs of an experiment, among MLflow's pages for trained models; it opens at those for language models."""
    return f"{server.rstrip('/')}/#/experiments/{experiment_id}/runs?workflowType=machine_learning"


def run_server(command: Sequence[str], variables: Mapping[str, str] | None = None) -> int:
    """Run a server until it is ended; its exit status, 0 after Ctrl-C, which is how a server is ended."""
    try:
        return run(command, {**QUIET, **(variables or {})})
    except KeyboardInterrupt:
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
