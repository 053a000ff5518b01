"""MLflow's servers, started with the store and the model of params.yaml."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from MLOps.commands.browser import open_page
from MLOps.commands.processes import run
from MLOps.commands.registered import bundle_versions
from MLOps.config.params import load_params
from MLOps.config.schema import as_json
from MLOps.config.serving import ANSWERED, CANDIDATE_ADDRESS, ROLE, SETTINGS, SHADOW
from MLOps.errors import UserError
from MLOps.experiment_tracking.address import store_uri, without_password

if TYPE_CHECKING:
    from MLOps.model_registry.versions import Registry

START_TIMEOUT_S = 120.0
END_TIMEOUT_S = 10.0
POLL_S = 0.2
TERMINATED = 143  # exit status: 128 + SIGTERM
# No usage reports, and no bar for each file that is copied.
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """End servers with this process when it is told to end or its terminal is closed.

    Python would end at once, and leave them behind.
    """
    before = {
        number: signal.signal(number, lambda *_: sys.exit(TERMINATED))
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN  # as `nohup` sets it
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@ended_by_signals()
def serve_model(alias: str, workers: int, host: str, port: int) -> int:
    """Serve the version that `alias` points at until it is ended, with the candidate beside it if the policy says so.

    Returns:
        The exit status.

    Raises:
        UserError: the policy asks for a candidate beside another version than the champion, there is no such version,
            or its files are not as they were registered.
    """
    params = load_params()
    config = params.serving
    store = {"MLFLOW_TRACKING_URI": store_uri(params.tracking)}
    if config.policy != "single" and alias != "champion":
        raise UserError(
            f"serving.policy: {config.policy} serves the champion with the candidate beside it; give --alias champion, "
            "or set policy: single"
        )
    models = bundle_versions()
    if config.policy != "single" and not _has_challenger(models):
        print("serving.policy: no candidate but the champion itself, which is served alone", file=sys.stderr)
        config = replace(config, policy="single")
    command = [*serving_command(_checked_folder(models, alias), host, port), "--workers", str(workers)]
    if config.policy == "single":
        return run_server(command, {**store, SETTINGS: json.dumps(as_json(config))})
    beside, address = replace(config, policy="single"), f"http://127.0.0.1:{(free := free_port())}"
    variables = {
        **store,
        SETTINGS: json.dumps(as_json(beside)),
        ROLE: SHADOW if config.policy == "shadow" else ANSWERED,
    }
    with background(serving_command(_checked_folder(models, "candidate"), "127.0.0.1", free), variables) as candidate:
        wait_for(f"{address}/ping", candidate)
        return run_server(command, {**store, SETTINGS: json.dumps(as_json(config)), CANDIDATE_ADDRESS: address})


def serving_command(uri: str, host: str, port: int) -> list[str]:
    """MLflow's command that serves the model at `uri`."""
    words = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    return [*words, "--model-uri", uri, "--host", host, "--port", str(port)]


def _checked_folder(models: "Registry", alias: str) -> str:
    """The folder of the version at `alias`, whose files were compared with those registered.

    MLflow knows no hashes, runs the code of what it loads, and would fetch files of its own for a version's URI.
    """
    return str(models.files(models.resolve(alias)))


def _has_challenger(models: "Registry") -> bool:
    """Whether the candidate is another version than the champion."""
    return models.version_at("candidate") not in (None, models.resolve("champion"))


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
    with ended_by_signals():
        try:
            return run(command, {**QUIET, **(variables or {})})
        except KeyboardInterrupt:
            return 0


@contextmanager
def background(command: Sequence[str], variables: Mapping[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """A server that is ended with the block, with the processes that it started."""
    process = subprocess.Popen(command, env={**os.environ, **QUIET, **variables}, start_new_session=True)
    try:
        yield process
    finally:
        # Its children too, even where it has ended itself.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    """Wait until the server `process` answers.

    Raises:
        UserError: it has ended, or does not answer in time.
    """
    give_up = time.monotonic() + START_TIMEOUT_S
    while True:
        if _answers(url):
            return
        if process.poll() is not None or time.monotonic() > give_up:
            raise UserError(f"the candidate's server does not answer at {url}; its messages are above")
        time.sleep(POLL_S)


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _open_when_up(url: str, experiment_id: str, browser: bool | None) -> None:
    give_up = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < give_up:
        if _answers(f"{url}/health"):
            open_page(runs_page(url, experiment_id), browser)
            return
        time.sleep(POLL_S)


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=1).close()  # noqa: S310 - our own server
    except OSError:
        return False
    return True
