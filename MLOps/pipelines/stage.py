"""What every stage does around its work: its declared parameters, its MLflow run, its record, its errors in words."""

import math
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits

from MLOps.artifacts import whole_file, whole_folder, write_json, write_table, write_text
from MLOps.config import Params, load_params
from MLOps.errors import UserError
from MLOps.experiment_tracking.record import Record, hashes
from MLOps.experiment_tracking.runs import Run, Runs
from MLOps.pipelines import paths
from MLOps.pipelines.declaration import Declaration

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

WITHOUT_PRICES = "data.source is labelled, and an agent has nothing to trade in a table without prices"


class Stage:
    """A stage while it runs, as a context.

    dvc.yaml is the only declaration of what a stage depends on: `params` shows the keys listed there and no
    others, the files listed there are hashed into the record, and a stage that is not in dvc.yaml does not start.

    A UserError inside the context ends the process with one sentence and status 1; nothing is reported then.
    """

    def __init__(self, name: str, variant: str = "") -> None:
        self.name = f"{name}/{variant}" if variant else name
        self._declared_name, self._variant = name, variant

    def __enter__(self) -> "Stage":
        with mistakes_told(self.name):
            self._open()
        return self

    def _open(self) -> None:
        params = load_params()
        declared = Declaration.read(self._declared_name, self._variant, params)
        self.params = declared.visible(params)
        self._outputs = declared.outputs
        self.record = new_record(declared, params)
        # DVC clears what a stage will write; in one run by hand, a killed run must leave no trace either.
        shutil.rmtree(self.record.folder, ignore_errors=True)
        # The order in which BLAS adds depends on how many threads it adds with.
        threadpool_limits(params.threads)
        self.run: Run = Runs(params.tracking).start(self.record)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Metrics of one step (an epoch, an evaluation): to the run now, to the record's history for good.

        What is not a number there (the explained variance of returns that do not vary) is left out.
        """
        metrics = {name: value for name, value in metrics.items() if math.isfinite(value)}
        self.record.history.append((step, metrics))
        self.run.log(step, metrics)

    def report(self, metrics: Mapping[str, float]) -> None:
        """The stage's final metrics."""
        self.record.metrics |= {name: float(value) for name, value in metrics.items()}

    def artifact(self, name: str) -> Path:
        """Where to write a figure or report that the run shall show."""
        return self.record.folder / name

    def skip(self, reason: str) -> None:
        """Say why there is nothing to do, and leave that in the place of each output, for DVC asks for them all."""
        print(f"{self.name}: skipped: {reason}")
        for path in self._outputs:
            if path.suffix == ".json":
                write_json(path, {"skipped": reason})
            elif path.suffix == ".parquet":
                write_table(path, pd.DataFrame({"skipped": [reason]}))
            elif path.suffix == ".csv":
                write_text(path, "step\n")
            elif path != self.record.folder:
                with whole_folder(path) as folder:
                    write_json(folder / "skipped.json", {"skipped": reason})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            try:
                self._close()
                return
            except Exception as late:
                error = late
        self.run.fail(f"{type(error).__name__}: {error}")
        with mistakes_told(self.name):
            raise error

    def _close(self) -> None:
        """Write what every stage leaves behind, and end the run."""
        write_json(paths.METRICS / f"{self.name}.json", self.record.metrics)
        if self.record.history:
            history = [{"step": step, **metrics} for step, metrics in self.record.history]
            with whole_file(paths.HISTORY / f"{self.name}.csv") as temporary:
                pd.DataFrame(history).to_csv(temporary, index=False)
        self.record.outputs = hashes([path for path in self._outputs if path != self.record.folder])
        self.record.save()
        self.run.finish(self.record)


def new_record(declared: Declaration, params: Params) -> Record:
    """The record of a stage about to run: its declared parameters, and the hashes of the files it declares to read."""
    return Record(
        stage=declared.stage,
        folder=paths.RECORDS / declared.stage,
        params=declared.values(params),
        environment=_environment(params.threads),
        inputs=hashes(declared.inputs),
    )


def _environment(threads: int) -> dict[str, Any]:
    versions = {name: version(name) for name in RECORDED_VERSIONS}
    return {"python": platform.python_version(), "machine": platform.machine(), "threads": threads, **versions}


@contextmanager
def mistakes_told(stage: str) -> Iterator[None]:
    """Turn a UserError into one sentence on standard error and exit status 1."""
    try:
        yield
    except UserError as error:
        print(f"{stage}: {error}", file=sys.stderr)
        raise SystemExit(1) from None
