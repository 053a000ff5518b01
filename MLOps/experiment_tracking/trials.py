"""The ledger of trials: each distinct candidate whose out-of-sample returns were looked at, once.

A test for skill must know how often it was tried (Bailey & López de Prado, 2014, "The Deflated Sharpe Ratio"). The
trials are runs of an MLflow experiment of their own, so that every machine that writes to the store counts.
"""

import hashlib
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities import Metric, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME

from MLOps.artifacts import read_arrays, write_arrays
from MLOps.config.tracking import TrackingConfig
from MLOps.errors import UserError, one_line
from MLOps.experiment_tracking.dvc_experiment import experiment_tags
from MLOps.experiment_tracking.processes import PROCESS_TAG, current_commit, end_killed, this_process
from MLOps.experiment_tracking.store import connect

SUFFIX = "-trials"  # of the name of the experiment
CANDIDATE, IDENTITY, BARS = "candidate", "identity", "bars"
FILE = "returns.safetensors"
PAGE = 1000  # runs per request
READERS = 16  # files read at once: a remote store answers each in tens of milliseconds


@dataclass(frozen=True)
class Trial:
    """The out-of-sample returns of one candidate.

    Attributes:
        identity: hash of `timestamps` and `returns`.
        candidate: hash of the returns over the pipeline's test span: walk-forward evaluation lengthens the returns of a
            candidate and makes no other.
        timestamps: (n,) datetime64[ns], UTC, of the bars' ends, ascending.
        returns: (n,) float64, the agent's over each bar.
    """

    identity: str
    candidate: str
    timestamps: np.ndarray
    returns: np.ndarray

    @classmethod
    def of(cls, timestamps: Any, returns: Any, candidate: str | None = None) -> "Trial":
        """A trial from timestamps, of any kind that pandas reads as UTC, and returns.

        Args:
            candidate: None if these are the returns over the test span.

        Raises:
            ValueError: a return is not finite, or there are not as many as timestamps in ascending order.
        """
        times = pd.DatetimeIndex(pd.to_datetime(timestamps, utc=True)).tz_localize(None)
        ends = times.to_numpy().astype("datetime64[ns]")
        # Adding 0 turns -0.0, which equals it, into 0.0.
        values = np.asarray(returns, dtype=np.float64) + 0.0
        if ends.shape != values.shape or values.ndim != 1 or not np.isfinite(values).all():
            raise ValueError(f"expected finite returns, one for each of {ends.shape} timestamps, found {values.shape}")
        if not (np.diff(ends) > np.timedelta64(0)).all():
            raise ValueError("expected timestamps in ascending order")
        identity = hashlib.sha256(ends.astype("<i8").tobytes() + values.astype("<f8").tobytes()).hexdigest()
        return cls(identity, candidate or identity, ends, values)


class Trials:
    """The trials in the configured store."""

    def __init__(self, config: TrackingConfig) -> None:
        self._client, self._experiment_id = connect(config, SUFFIX)

    def record(self, trial: Trial) -> bool:
        """Record a trial, unless it is; returns whether it was new.

        Two processes that record the same trial at once may leave two runs, of which readers count one.
        """
        end_killed(self._client, self._experiment_id)
        same = f"tags.{IDENTITY} = '{trial.identity}'"
        if self._client.search_runs([self._experiment_id], same, max_results=1):
            return False
        tags = {
            MLFLOW_RUN_NAME: f"{trial.candidate[:12]} to {pd.Timestamp(trial.timestamps[-1]):%Y-%m-%d}",
            CANDIDATE: trial.candidate,
            "commit": current_commit(),
            PROCESS_TAG: this_process(),
            **experiment_tags(),
        }
        run_id = self._client.create_run(self._experiment_id, tags=tags).info.run_id
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / FILE
            write_arrays(path, {"timestamps": trial.timestamps.astype(np.int64), "returns": trial.returns})
            self._client.log_artifact(run_id, str(path))
        deviation = float(trial.returns.std(ddof=1)) if len(trial.returns) > 1 else 0.0
        figures = {BARS: float(len(trial.returns)), "mean": float(trial.returns.mean()), "deviation": deviation}
        start_ms = int(trial.timestamps[-1].astype("datetime64[ms]").astype(np.int64))
        self._client.log_batch(run_id, metrics=[Metric(name, value, start_ms, 0) for name, value in figures.items()])
        # The identity comes last, so that only whole trials are found by it.
        self._client.log_batch(run_id, tags=[RunTag(IDENTITY, trial.identity)])
        self._client.set_terminated(run_id)
        return True

    def count(self) -> int:
        """The number of distinct candidates."""
        return len(self._longest())

    def all(self) -> list[Trial]:
        """Every candidate with its longest returns, in the order in which the candidates were first recorded.

        Raises:
            UserError: the file of a trial is missing or damaged.
        """
        with ThreadPoolExecutor(READERS) as readers:
            return list(readers.map(_read, self._longest()))

    def _longest(self) -> list[Run]:
        """For each candidate the run with the longest returns, in the order of the candidates' first runs."""
        found: dict[str, Run] = {}
        first_ms: dict[str, int] = {}
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment_id], f"tags.{IDENTITY} LIKE '%'", max_results=PAGE, page_token=token
            )
            for run in page:
                candidate = run.data.tags[CANDIDATE]
                found[candidate] = max(found.get(candidate, run), run, key=_length)
                first_ms[candidate] = min(first_ms.get(candidate, run.info.start_time), run.info.start_time)
            token = page.token
            if not token:
                return [found[candidate] for candidate in sorted(found, key=lambda name: (first_ms[name], name))]


def _length(run: Run) -> tuple[float, str]:
    return run.data.metrics[BARS], run.data.tags[IDENTITY]


def _read(run: Run) -> Trial:
    uri = f"{run.info.artifact_uri}/{FILE}"
    try:
        with tempfile.TemporaryDirectory() as folder:
            arrays = read_arrays(Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder)))
        trial = Trial.of(arrays["timestamps"].view("datetime64[ns]"), arrays["returns"], run.data.tags[CANDIDATE])
    except (MlflowException, UserError, OSError, ValueError, KeyError) as error:
        raise _unreadable(run, one_line(error)) from None
    if trial.identity != run.data.tags[IDENTITY]:
        raise _unreadable(run, "its returns are not those that were recorded")
    return trial


def _unreadable(run: Run, reason: str) -> UserError:
    return UserError(
        f"the trial of the MLflow run {run.info.run_id} cannot be read: {reason}; restore {run.info.artifact_uri}, or "
        "delete the run and the trial no longer counts"
    )
