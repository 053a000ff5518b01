"""One MLflow run per executed stage, under one parent run per `dvc repro`."""

import json
import logging
import platform
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import psutil
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.models import ModelSignature
from mlflow.system_metrics import system_metrics_monitor
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT, MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME, MLFLOW_SOURCE_NAME

from MLOps.config.tracking import TrackingConfig
from MLOps.experiment_tracking.record import Record, flatten
from MLOps.experiment_tracking.store import connect
from MLOps.experiment_tracking.tensorboard import Board

FLUSH_SECONDS = 2.0  # interval between batches of metrics: a run can be watched live without overloading the store
BATCH = 900  # MLflow accepts at most 1 000 metrics and 100 parameters per call
PARAM_BATCH = 90
DIRTY = "-dirty"  # suffix of the commit if the working tree differs from it
PACKAGE = Path(__file__).parents[1]
# What the package's code imports when a logged model runs.
MODEL_REQUIREMENTS = (
    "mlflow",
    "numba",
    "numpy",
    "pandas",
    "psutil",
    "pydantic",
    "PyWavelets",
    "rich",
    "safetensors",
    "scipy",
    "TA-Lib",
    "torch",
)


class Runs:
    """The runs of one experiment."""

    def __init__(self, config: TrackingConfig) -> None:
        self._tensorboard = config.tensorboard
        self.client, self.experiment_id = connect(config)

    def start(self, record: Record, restored: bool = False) -> "Run":
        """Begin the run of `record`'s stage; `restored` marks a run that is written from a restored record."""
        self._end_killed(record.stage)
        commit = _commit()
        tags = {
            MLFLOW_RUN_NAME: record.stage,
            MLFLOW_SOURCE_NAME: f"MLOps.pipelines.{record.stage.replace('/', ' ')}",
            MLFLOW_GIT_COMMIT: commit.removesuffix(DIRTY),
            "stage": record.stage.partition("/")[0],
            "variant": record.stage.partition("/")[2],
            "commit": commit,
            "params_hash": record.params_hash,
            "restored": str(restored).lower(),
            "process": _process(psutil.Process()),
        }
        parent = self._parent(commit)
        if parent is not None:
            tags[MLFLOW_PARENT_RUN_ID] = parent
        run = self.client.create_run(self.experiment_id, tags=tags)
        self._log_params(run.info.run_id, record)
        board = Board(record.stage) if self._tensorboard and not restored else None
        return Run(self.client, run.info.run_id, parent, board)

    def find(self, record: Record) -> str | None:
        """The id of the finished run with this record's content; None if the store has none."""
        return self._find(f"tags.content_hash = '{record.content_hash}' and attributes.status = 'FINISHED'")

    def restore(self, record: Record, log_model: Callable[[Record, "Run"], None]) -> None:
        """Write the run of a stage that did not execute here from its record; `log_model` logs its trained model."""
        run = self.start(record, restored=True)
        for step, metrics in record.history:
            run.log(step, metrics)
        log_model(record, run)
        run.finish(record)

    def _end_killed(self, stage: str) -> None:
        """End as KILLED the runs of `stage` that processes of this machine left behind when they were killed."""
        name, _, variant = stage.partition("/")
        condition = f"tags.stage = '{name}' and tags.variant = '{variant}' and attributes.status = 'RUNNING'"
        for run in self.client.search_runs([self.experiment_id], condition):
            host, _, pid = run.data.tags.get("process", "").partition("/")
            if host == platform.node() and not _is_alive(pid):
                nested = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run.info.run_id}' and attributes.status = 'RUNNING'"
                for killed in [run, *self.client.search_runs([self.experiment_id], nested)]:
                    self.client.set_terminated(killed.info.run_id, "KILLED")

    def _find(self, condition: str) -> str | None:
        found = self.client.search_runs([self.experiment_id], condition, max_results=1)
        return found[0].info.run_id if found else None

    def _log_params(self, run_id: str, record: Record) -> None:
        params = [Param(name, str(value)) for name, value in flatten(record.params).items()]
        for i in range(0, len(params), PARAM_BATCH):
            self.client.log_batch(run_id, params=params[i : i + PARAM_BATCH])

    def _parent(self, commit: str) -> str | None:
        """The parent run of the `dvc` command that started this process; None outside a `dvc` command."""
        dvc = _dvc_ancestor()
        if dvc is None:
            return None
        key = f"{dvc.pid}-{dvc.create_time():.2f}"
        if found := self._find(f"tags.repro = '{key}'"):
            return found
        started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(dvc.create_time()))
        name = f"dvc {_subcommand(dvc)} {started}"
        tags = {MLFLOW_RUN_NAME: name, "repro": key, "stage": "repro", "commit": commit}
        run_id: str = self.client.create_run(self.experiment_id, tags=tags).info.run_id
        return run_id


class Run:
    """A stage's run while it computes."""

    def __init__(self, client: MlflowClient, run_id: str, parent: str | None, board: Board | None = None) -> None:
        self._board = board
        self._monitor: SystemMetricsMonitor | None = None
        self.run_id = run_id
        self._client, self._parent = client, parent
        self._pending: list[Metric] = []
        self._flushed_at = time.monotonic()

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Log the metrics of one step; sent in batches."""
        now = int(time.time() * 1000)
        self._pending += [Metric(name, value, now, step) for name, value in metrics.items()]
        if self._board:
            self._board.log(step, metrics)
        if time.monotonic() - self._flushed_at > FLUSH_SECONDS:
            self._flush()

    @contextmanager
    def nested(self, kind: str, name: str, params: Mapping[str, Any]) -> Iterator["Run"]:
        """A child run, such as a trial of a search or a window of an evaluation, to which the block logs its metrics.

        Args:
            kind: the tag `stage`: "trial", "seed" or "window".
        """
        tags = {MLFLOW_RUN_NAME: name, MLFLOW_PARENT_RUN_ID: self.run_id, "stage": kind}
        experiment_id = self._client.get_run(self.run_id).info.experiment_id
        run_id = self._client.create_run(experiment_id, tags=tags).info.run_id
        below = Run(self._client, run_id, parent=None, board=self._board and self._board.below(name))
        self._client.log_batch(run_id, params=[Param(key, str(value)) for key, value in params.items()])
        try:
            yield below
        except BaseException as error:
            below.fail(f"{type(error).__name__}: {error}")
            raise
        below._stop_watching()
        below._flush()
        below._end("FINISHED")

    def watch_system(self) -> None:
        """Log the machine's load and memory until the run ends; they are not part of the record."""
        # MLflow reads the run back after each sample, so shorter intervals would load the store.
        self._monitor = SystemMetricsMonitor(self.run_id, sampling_interval=5)
        logging.getLogger(system_metrics_monitor.__name__).setLevel(logging.WARNING)
        self._monitor.start()

    def log_model(
        self, name: str, code: Path, artifacts: Mapping[str, Path], signature: ModelSignature, input_example: Any
    ) -> str:
        """Log a model from code: the file `code`, the package it imports, and `artifacts` of data; nothing is pickled.

        Returns:
            The model's URI.
        """
        from mlflow import pyfunc  # imported here because it takes a second and few stages log a model

        with mlflow.start_run(run_id=self.run_id):
            info = pyfunc.log_model(
                name=name,
                python_model=str(code),
                artifacts={key: str(path) for key, path in artifacts.items()},
                code_paths=[str(PACKAGE)],
                pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in MODEL_REQUIREMENTS],
                signature=signature,
                input_example=input_example,
            )
        return str(info.model_uri)

    def finish(self, record: Record) -> None:
        """Log the rest of `record` (final metrics, inputs, artifacts, content hash) and end the run as FINISHED."""
        self.log(0, record.metrics)
        self._stop_watching()
        self._flush()
        self._client.log_inputs(self.run_id, [_dataset(path, digest) for path, digest in record.inputs.items()])
        for path in record.artifacts():
            folder = f"report/{path.parent.relative_to(record.folder)}".rstrip("/.")
            self._client.log_artifact(self.run_id, str(path), folder)
        self._client.log_artifact(self.run_id, "params.yaml", "configuration")
        self._client.log_artifact(self.run_id, "dvc.yaml", "configuration")
        self._client.log_dict(self.run_id, record.environment, "configuration/environment.json")
        # The content hash comes last, so that only complete runs are found by it.
        self._client.log_batch(self.run_id, tags=[RunTag("content_hash", record.content_hash)])
        self._end("FINISHED")

    def fail(self, reason: str) -> None:
        self._stop_watching()
        self._flush()
        self._client.set_tag(self.run_id, "failure", reason)
        self._end("FAILED")

    def _end(self, status: str) -> None:
        self._client.set_terminated(self.run_id, status)
        if self._parent is not None:
            # A stage does not know whether it is the last, so each one ends the parent run again.
            self._client.set_terminated(self._parent, status)

    def _stop_watching(self) -> None:
        if self._monitor:
            self._monitor.finish()
        if self._board:
            self._board.close()

    def _flush(self) -> None:
        for i in range(0, len(self._pending), BATCH):
            self._client.log_batch(self.run_id, metrics=self._pending[i : i + BATCH])
        self._pending = []
        self._flushed_at = time.monotonic()


def _process(process: psutil.Process) -> str:
    """Host, id and start of a process: an id alone is given anew to another."""
    return f"{platform.node()}/{process.pid}-{process.create_time():.2f}"


def _is_alive(pid_and_start: str) -> bool:
    pid = pid_and_start.partition("-")[0]
    try:
        return pid.isdigit() and _process(psutil.Process(int(pid))).endswith(f"/{pid_and_start}")
    except psutil.Error:
        return False


def _dataset(path: str, digest: str) -> DatasetInput:
    dataset = Dataset(
        name=Path(path).name,
        # MLflow allows at most 36 characters.
        digest=digest[:36],
        source_type="local",
        source=json.dumps({"uri": path}),
        schema=json.dumps({"sha256": digest}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "input")])


def _commit() -> str:
    """The checked-out commit, with DIRTY if the working tree differs from it; "unknown" outside a repository."""
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        # DVC writes its lock file after each stage, which is not a change of the code.
        status = ["git", "status", "--porcelain", "--", ".", ":(exclude)dvc.lock"]
        changed = subprocess.run(status, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{head}{DIRTY}" if changed.strip() else head


def _dvc_ancestor() -> psutil.Process | None:
    for process in psutil.Process().parents():
        if _subcommand(process) is not None:
            return process
    return None


def _subcommand(process: psutil.Process) -> str | None:
    """The subcommand of `process` if it is a dvc command, such as `dvc repro` or `python -m dvc repro`; else None."""
    try:
        words: list[Any] = process.cmdline()
    except psutil.Error:
        return None
    for i, word in enumerate(words[:4]):
        if Path(word).name == "dvc" and (i < 2 or words[i - 1] == "-m"):
            return " ".join(words[i + 1 : i + 3] if words[i + 1 : i + 2] == ["exp"] else words[i + 1 : i + 2])
    return None
