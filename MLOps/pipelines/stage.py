"""The context of every stage: declared parameters, MLflow run, record, error messages."""

import math
import platform
import shutil
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd
from pyarrow.parquet import ParquetFile
from threadpoolctl import threadpool_limits

from MLOps.artifacts import read_json, table_parts, whole_file, write_json
from MLOps.config.params import Params, load_params
from MLOps.config.schema import as_json
from MLOps.experiment_tracking.processes import verbosity
from MLOps.experiment_tracking.record import Record, check_unchanged, hashes
from MLOps.experiment_tracking.runs import Run, Runs
from MLOps.experiment_tracking.trials import Trial, Trials
from MLOps.faults import fault
from MLOps.pipelines import paths
from MLOps.pipelines.console import Console
from MLOps.pipelines.declaration import Declaration
from MLOps.pipelines.failures import exit_with_sentence

RECORDED_VERSIONS = (
    "gymnasium",
    "mlflow",
    "numba",
    "numpy",
    "pandas",
    "scikit-learn",
    "stable-baselines3",
    "TA-Lib",
    "torch",
)


class Stage:
    """A stage while it runs, as a context.

    dvc.yaml is the only declaration of what a stage depends on: `params` shows the keys listed there and no
    others, the files listed there are hashed into the record, and a stage that is not in dvc.yaml does not start.
    `logged` are parameters that the run shows besides.

    A UserError inside the context ends the process with one sentence and status 1; nothing is reported then. A stage
    that ends well says what it made and how long it took. All that it says is kept in a log file, with its run too.
    """

    def __init__(self, name: str, variant: str = "", **logged: Any) -> None:
        self._declared = Declaration.read(name, variant)
        self.name = self._declared.stage
        self._logged = logged

    def __enter__(self) -> "Stage":
        with exit_with_sentence(self.name):
            self._open()
        self._console = Console(paths.LOGS / f"{self.name}.log", verbosity())
        self._console.keep(f"{self.name}: run {self.run.run_id}")
        return self

    def _open(self) -> None:
        self._started = time.monotonic()
        params = load_params()
        self.params = self._declared.visible(params)
        self.record = new_record(self._declared, params, self._logged)
        check_unchanged(self.record.inputs, paths.RECORDS)
        # DVC clears what a stage will write; in one run by hand, a killed run must leave no trace either.
        shutil.rmtree(self.record.folder, ignore_errors=True)
        # The order in which BLAS adds depends on how many threads it adds with.
        threadpool_limits(params.threads)
        self._tracking = params.tracking
        self.run: Run = Runs(params.tracking).start(self.record)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Log metrics of one step (an epoch, an evaluation) to the run and to the record's history.

        NaN and infinite values (the explained variance of constant returns) are left out.
        """
        metrics = {name: value for name, value in metrics.items() if math.isfinite(value)}
        self.record.history.append((step, metrics))
        self.run.log(step, metrics)
        self._console.step(step, metrics)

    def report(self, metrics: Mapping[str, float]) -> None:
        """The stage's final metrics."""
        self.record.metrics |= {name: float(value) for name, value in metrics.items()}

    def count_trial(self, trial: Trial) -> None:
        """Record out-of-sample returns in the ledger of trials; to be called before they are written or printed."""
        trials = Trials(self._tracking)
        said = "a new candidate" if trials.record(trial) else "known already"
        print(f"{self.name}: trial {trial.candidate[:12]}: {said}; {trials.count()} counted so far")

    def artifact(self, name: str) -> Path:
        """Where to write a plot or report to show with the run."""
        return self.record.folder / name

    def finish_checkpoints(self, folder: Path, keep: bool) -> None:
        """Delete the checkpoints of a stage that has ended well and so does not resume, or say where they are kept."""
        if keep:
            print(f"{self.name}: the last checkpoints are kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            try:
                self._close()
                return
            except BaseException as late:
                error = late
        told = "".join(traceback.format_exception(error))
        for write_down in (lambda: self._console.keep(told), self._end_log, lambda: self.run.fail(error)):
            try:
                write_down()
            except Exception as second:
                # What ended the stage, a full disk or a store that is gone, keeps some of it from being written down.
                if fault(second) is None:
                    raise
        with exit_with_sentence(self.name):
            raise error

    def _close(self) -> None:
        """Write what every stage leaves behind, and end the run."""
        write_json(paths.METRICS / self.name / "metrics.json", self.record.metrics)
        if self.record.history:
            history = [{"step": step, **metrics} for step, metrics in self.record.history]
            with whole_file(paths.HISTORY / self.name / "history.csv") as temporary:
                pd.DataFrame(history).to_csv(temporary, index=False)
        self.record.outputs = hashes([path for path in self._declared.outputs if path != self.record.folder])
        self.record.save()
        made = "; ".join(f"{path} {sizes}" for path, sizes in tables(self._declared.outputs))
        print(f"{self.name}: done in {time.monotonic() - self._started:.1f} s{f': {made}' if made else ''}")
        self._end_log()
        self.run.finish(self.record)

    def _end_log(self) -> None:
        self._console.restore()
        self.run.keep(self._console.log, "log")


def tables(outputs: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """The tables among `outputs` and how large they are, in words."""
    for path in outputs:
        files = [ParquetFile(file) for file in ([path] if path.suffix == ".parquet" else table_parts(path))]
        if not files:
            continue
        size = f"{sum(file.metadata.num_rows for file in files)} rows"
        if "symbol" in files[0].schema_arrow.names:
            # No symbol is in two parts of a table.
            symbols = sum(len(file.read(["symbol"])["symbol"].unique()) for file in files)
            size += f" of {symbols} symbol{'s' if symbols != 1 else ''}"
        yield path, size


def new_record(declared: Declaration, params: Params, logged: Mapping[str, Any]) -> Record:
    """The record of a stage about to run: its declared parameters, and the hashes of the files that it reads."""
    uses = paths.USES / f"{declared.stage}.json"
    sources = read_json(uses)["data"] if uses.exists() else {}
    return Record(
        stage=declared.stage,
        folder=paths.RECORDS / declared.stage,
        params={**declared.values(params), **as_json(logged)},
        environment=environment(params.threads),
        inputs={**sources, **hashes(declared.inputs(params))},
    )


def environment(threads: int) -> dict[str, Any]:
    """The versions that results depend on, and the number of threads."""
    versions = {name: version(name) for name in RECORDED_VERSIONS}
    return {"python": platform.python_version(), "machine": platform.machine(), "threads": threads, **versions}
