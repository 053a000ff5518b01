"""One MLflow run per executed stage, under one parent run per `dvc repro`."""

import json
import logging
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from mlflow.utils.mlflow_tags import (
    MLFLOW_GIT_COMMIT,
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_RUN_NAME,
    MLFLOW_RUN_NOTE,
    MLFLOW_SOURCE_NAME,
)

from MLOps.config.params import parse_yaml
from MLOps.config.tracking import TrackingConfig
from MLOps.experiment_tracking.address import without_password
from MLOps.experiment_tracking.dvc_experiment import experiment_baseline, experiment_name, experiment_tags
from MLOps.experiment_tracking.processes import (
    DIRTY,
    PROCESS_TAG,
    current_commit,
    dvc_ancestor,
    end_killed,
    identity,
    subcommand,
    this_process,
)
from MLOps.experiment_tracking.record import Record, flatten
from MLOps.experiment_tracking.retries import RetryingClient
from MLOps.experiment_tracking.store import connect
from MLOps.experiment_tracking.tensorboard import Board

FLUSH_SECONDS = 2.0  # interval between batches of metrics: a run can be watched live without overloading the store
BATCH = 900  # MLflow accepts at most 1 000 metrics and 100 parameters per call
PARAM_BATCH = 90
MOST_CHANGES = 20  # parameters in which a run is said to differ from the one before
LONGEST_TAG = 4000  # characters; MLflow accepts 8 000
RECENT_PARENTS = 100  # searched for the last that is no experiment
PACKAGE = Path(__file__).parents[1]
# What the package's code imports when a logged model runs.
MODEL_REQUIREMENTS = (
    "mlflow",
    "numba",
    "numpy",
    "pandas",
    "psutil",
    "pydantic",
    "pydantic_core",
    "PyWavelets",
    "PyYAML",
    "rich",
    "safetensors",
    "scipy",
    "TA-Lib",
    "torch",
)


class Runs:
    """The runs of one experiment. Those that killed processes left RUNNING are ended first."""

    def __init__(self, config: TrackingConfig) -> None:
        self._tensorboard = config.tensorboard
        self.client, self.experiment_id = connect(config)
        end_killed(self.client, self.experiment_id)

    def start(self, record: Record, restored: bool = False) -> "Run":
        """Begin the run of `record`'s stage; `restored` marks a run that is written from a restored record."""
        stage, _, variant = record.stage.partition("/")
        commit = current_commit()
        tags = {
            MLFLOW_RUN_NAME: record.stage,
            MLFLOW_SOURCE_NAME: f"MLOps.pipelines.{record.stage.replace('/', ' ')}",
            MLFLOW_GIT_COMMIT: commit.removesuffix(DIRTY),
            "stage": stage,
            "variant": variant,
            "commit": commit,
            "params_hash": record.params_hash,
            "restored": str(restored).lower(),
            PROCESS_TAG: this_process(),
            **experiment_tags(),
        }
        if note := _description(stage):
            tags[MLFLOW_RUN_NOTE] = note
        parent = self._parent(commit)
        if parent is not None:
            tags[MLFLOW_PARENT_RUN_ID] = parent
        run = self.client.create_run(self.experiment_id, tags=tags)
        self._log_params(run.info.run_id, flatten(record.params))
        board = Board(record.stage) if self._tensorboard and not restored else None
        return Run(self.client, run.info.run_id, parent, board)

    def find(self, record: Record) -> str | None:
        """The id of the newest finished run with this record's content; None if the store has none."""
        return self._find(f"tags.content_hash = '{record.content_hash}' and attributes.status = 'FINISHED'")

    def first_commit(self, record: Record) -> str:
        """The commit of the oldest run with this record's content; "unknown" if the store has none."""
        condition = f"tags.content_hash = '{record.content_hash}' and attributes.status = 'FINISHED'"
        found = self.client.search_runs(
            [self.experiment_id], condition, order_by=["attributes.start_time ASC"], max_results=1
        )
        return str(found[0].data.tags["commit"]) if found else "unknown"

    def model_of(self, record: Record) -> str | None:
        """The URI of the model that the run of `find` logged; None if there is none."""
        run_id = self.find(record)
        outputs = None if run_id is None else self.client.get_run(run_id).outputs
        return f"models:/{outputs.model_outputs[-1].model_id}" if outputs and outputs.model_outputs else None

    def log_file(self, run_id: str, path: Path, folder: str) -> str:
        """Log a file with a finished run; one of the same name is replaced.

        Returns:
            A link to the file, relative to the address of MLflow's UI.
        """
        self.client.log_artifact(run_id, str(path), folder)
        experiment_id = self.client.get_run(run_id).info.experiment_id
        return f"#/experiments/{experiment_id}/runs/{run_id}/artifacts/{folder}/{path.name}"

    def log_metrics(self, run_id: str, figures: Mapping[str, float], step: int) -> None:
        """Log metrics with a finished run; those of several times line up by `step`."""
        now = int(time.time() * 1000)
        self.client.log_batch(run_id, metrics=[Metric(name, value, now, step) for name, value in figures.items()])

    def restore(self, record: Record, log_model: Callable[[Record, "Run"], None]) -> None:
        """Write the run of a stage that did not execute here from its record; `log_model` logs its trained model."""
        run = self.start(record, restored=True)
        for step, metrics in record.history:
            run.log(step, metrics)
        log_model(record, run)
        run.finish(record)

    def _find(self, condition: str) -> str | None:
        found = self.client.search_runs([self.experiment_id], condition, max_results=1)
        return found[0].info.run_id if found else None

    def _log_params(self, run_id: str, values: Mapping[str, Any]) -> None:
        params = [Param(name, str(value)) for name, value in values.items()]
        for i in range(0, len(params), PARAM_BATCH):
            self.client.log_batch(run_id, params=params[i : i + PARAM_BATCH])

    def show_on_parent(self, figures: Mapping[str, float]) -> None:
        """Log the headlines of a pipeline on its parent run; none exists where no stage has executed."""
        dvc = dvc_ancestor()
        parent = None if dvc is None else self._find(f"tags.repro = '{_key(dvc)}'")
        if parent is not None:
            now = int(time.time() * 1000)
            metrics = [Metric(name, value, now, 0) for name, value in figures.items()]
            self.client.log_batch(parent, metrics=metrics)

    def _parent(self, commit: str) -> str | None:
        """The parent run of the `dvc` command that started this process; None outside a `dvc` command.

        It has all of params.yaml as parameters, and shows in which the run differs from the one before it.
        """
        dvc = dvc_ancestor()
        if dvc is None:
            return None
        if found := self._find(f"tags.repro = '{_key(dvc)}'"):
            return found
        params = {name: str(value) for name, value in flatten(parse_yaml(Path("params.yaml").read_text())).items()}
        before, since = self._params_before()
        changes = "" if before is None else changed(before, params)
        started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(dvc.create_time()))
        words = [f"dvc {subcommand(dvc)}", experiment_name(), started]
        note = "No run before this one." if before is None else f"Changed since {since}: {changes or 'nothing'}."
        tags = {
            MLFLOW_RUN_NAME: " ".join(word for word in words if word),
            MLFLOW_RUN_NOTE: note,
            "repro": _key(dvc),
            "stage": "repro",
            "commit": commit,
            PROCESS_TAG: identity(dvc),
            "changed": changes,
            **experiment_tags(),
        }
        run_id: str = self.client.create_run(self.experiment_id, tags=tags).info.run_id
        self._log_params(run_id, params)
        return run_id

    def _params_before(self) -> tuple[dict[str, str] | None, str]:
        """The parameters that a run is compared with, and what they are of; None for the first run of a store.

        An experiment is compared with the commit that it started from, `dvc repro` with the last one.
        """
        baseline = experiment_baseline()
        if baseline is not None:
            show = ["git", "show", f"{baseline}:./params.yaml"]
            shown = subprocess.run(show, capture_output=True, text=True)
            if shown.returncode == 0:
                params = flatten(parse_yaml(shown.stdout))
                return {name: str(value) for name, value in params.items()}, f"commit {baseline[:7]}"
        # Of two experiments side by side neither is what the other has changed.
        found = self.client.search_runs([self.experiment_id], "tags.stage = 'repro'", max_results=RECENT_PARENTS)
        for run in found:
            if run.data.params and "experiment" not in run.data.tags:
                return run.data.params, str(run.info.run_name)
        return None, ""


class Run:
    """A stage's run while it computes.

    A process that it is sent to logs to it by a connection of its own.
    """

    def __init__(self, client: MlflowClient, run_id: str, parent: str | None, board: Board | None = None) -> None:
        self._board = board
        self._monitor: SystemMetricsMonitor | None = None
        self.run_id = run_id
        self._client, self._parent = client, parent
        self._pending: list[Metric] = []
        self._flushed_at = time.monotonic()

    def __reduce__(self) -> tuple[Any, ...]:
        return _connected, (mlflow.get_tracking_uri(), self.run_id, self._board)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Log the metrics of one step; sent in batches."""
        now = int(time.time() * 1000)
        self._pending += [Metric(name, value, now, step) for name, value in metrics.items()]
        if self._board:
            self._board.log(step, metrics)
        if time.monotonic() - self._flushed_at > FLUSH_SECONDS:
            self._flush()

    def draw(self, network: Any, shape: Sequence[int]) -> None:
        """Show the graph of a PyTorch module for one input of this shape in TensorBoard, if that is configured."""
        if self._board:
            self._board.draw(network, shape)

    @contextmanager
    def nested(self, kind: str, name: str, params: Mapping[str, Any]) -> Iterator["Run"]:
        """A child run, such as a trial of a search or a window of an evaluation, to which the block logs its metrics.

        Args:
            kind: the tag `stage`: "trial", "seed" or "window".
        """
        tags = {MLFLOW_RUN_NAME: name, MLFLOW_PARENT_RUN_ID: self.run_id, "stage": kind, PROCESS_TAG: this_process()}
        experiment_id = self._client.get_run(self.run_id).info.experiment_id
        run_id = self._client.create_run(experiment_id, tags=tags).info.run_id
        below = Run(self._client, run_id, parent=None, board=self._board and self._board.below(name))
        self._client.log_batch(run_id, params=[Param(key, str(value)) for key, value in params.items()])
        try:
            yield below
        except BaseException as error:
            below.fail(error)
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
        # The context above has ended it, and a run that is killed before its end must not look finished.
        self._client.update_run(self.run_id, "RUNNING")
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
        self._end_below()
        # The content hash comes last, so that only complete runs are found by it.
        self._client.log_batch(self.run_id, tags=[RunTag("content_hash", record.content_hash)])
        self._end("FINISHED")

    def fail(self, error: BaseException) -> None:
        """End the run as FAILED, or as KILLED where the user has interrupted it; the tag `failure` says why."""
        self._stop_watching()
        self._flush()
        is_interrupted = isinstance(error, KeyboardInterrupt)
        reason = "interrupted" if is_interrupted else without_password(f"{type(error).__name__}: {error}")
        self._client.set_tag(self.run_id, "failure", reason)
        self._end("KILLED" if is_interrupted else "FAILED")
        self._end_below()

    def discard(self) -> None:
        """Delete a finished run that repeats another, and the models that it logged."""
        outputs = self._client.get_run(self.run_id).outputs
        for model in outputs.model_outputs if outputs else ():
            self._client.delete_logged_model(model.model_id)
        self._client.delete_run(self.run_id)

    def keep(self, path: Path, folder: str) -> None:
        """Log a file that is no part of the record."""
        self._client.log_artifact(self.run_id, str(path), folder)

    def _end(self, status: str) -> None:
        self._client.set_terminated(self.run_id, status)
        if self._parent is not None:
            # A stage does not know whether it is the last, so each one ends the parent run again.
            self._client.set_terminated(self._parent, status)

    def _end_below(self) -> None:
        """End as KILLED the runs below this one of processes that were killed, on this machine or another."""
        experiment_id = self._client.get_run(self.run_id).info.experiment_id
        below = f"attributes.status = 'RUNNING' and tags.`{MLFLOW_PARENT_RUN_ID}` = '{self.run_id}'"
        for run in self._client.search_runs([experiment_id], below):
            self._client.set_terminated(run.info.run_id, "KILLED")

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


def _connected(uri: str, run_id: str, board: Board | None) -> Run:
    mlflow.set_tracking_uri(uri)
    return Run(RetryingClient(), run_id, parent=None, board=board)


def _description(stage: str) -> str | None:
    """What dvc.yaml says of a stage."""
    file = Path("dvc.yaml")
    stages = parse_yaml(file.read_text())["stages"] if file.exists() else {}
    declared = stages.get(stage, {})
    return declared.get("do", declared).get("desc")


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


def _key(dvc: psutil.Process) -> str:
    return f"{dvc.pid}-{dvc.create_time():.2f}"


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """The parameters that differ, as `name: before → after`; a long list is cut."""
    names = [name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)]
    shown = [f"{name}: {before.get(name, 'none')} → {after.get(name, 'none')}" for name in names[:MOST_CHANGES]]
    more = [f"and {len(names) - MOST_CHANGES} more"] if len(names) > MOST_CHANGES else []
    return ", ".join([*shown, *more])[:LONGEST_TAG]
