"""What every stage does around its work: its declared parameters, its MLflow run, its record, its errors in words."""

import json
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import pandas as pd
import yaml
from threadpoolctl import threadpool_limits

from MLOps.artifacts import whole_file, write_json
from MLOps.config import Params, load_params
from MLOps.errors import UserError
from MLOps.experiment_tracking.record import Record, hashes
from MLOps.experiment_tracking.runs import Run, Runs
from MLOps.pipelines import paths

PACKAGE = "MLOps/"
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

    dvc.yaml is the only declaration of what a stage depends on: `params` shows the sections listed there and no
    others, the files listed there are hashed into the record, and a stage that is not in dvc.yaml does not start.

    A UserError inside the context ends the process with one sentence and status 1; nothing is reported then.
    """

    def __init__(self, name: str, variant: str = "") -> None:
        self.name = f"{name}/{variant}" if variant else name
        self._declared_name, self._variant = name, variant
        self.metrics: dict[str, float] = {}

    def __enter__(self) -> "Stage":
        with mistakes_told(self.name):
            self._open()
        return self

    def _open(self) -> None:
        params = load_params()
        declared = _declaration(self._declared_name, self._variant)
        self.params = cast(Params, _Declared(params, self.name, declared["params"]))
        self._outputs = declared["outs"]
        self.record = new_record(self._declared_name, self._variant)
        # DVC clears what a stage will write; in one run by hand, a killed run must leave no trace either.
        shutil.rmtree(self.record.folder, ignore_errors=True)
        # The order in which BLAS adds depends on how many threads it adds with.
        threadpool_limits(params.threads)
        self.run: Run = Runs(params.tracking).start(self.record)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Metrics of one step (an epoch, an evaluation): to the run now, to the record's history for good."""
        self.record.history.append((step, dict(metrics)))
        self.run.log(step, metrics)

    def report(self, metrics: Mapping[str, float]) -> None:
        """The stage's final metrics."""
        self.record.metrics |= {name: float(value) for name, value in metrics.items()}

    def artifact(self, name: str) -> Path:
        """Where to write a figure or report that the run shall show."""
        return self.record.folder / name

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.run.fail(f"{type(error).__name__}: {error}")
            with mistakes_told(self.name):
                raise error
        write_json(paths.METRICS / f"{self.name}.json", self.record.metrics)
        if self.record.history:
            history = [{"step": step, **metrics} for step, metrics in self.record.history]
            with whole_file(paths.HISTORY / f"{self.name}.csv") as temporary:
                pd.DataFrame(history).to_csv(temporary, index=False)
        self.record.outputs = hashes([path for path in self._outputs if path != self.record.folder])
        self.record.save()
        self.run.finish(self.record)


def new_record(name: str, variant: str = "") -> Record:
    """The record of a stage about to run: its declared parameters, and the hashes of the files it declares to read."""
    # The typed values, so that defaults are told too; as JSON has them, so that a restored record tells the same.
    params = json.loads(json.dumps(asdict(load_params())))
    declared = _declaration(name, variant)
    stage = f"{name}/{variant}" if variant else name
    return Record(
        stage=stage,
        folder=paths.RECORDS / stage,
        params=_chosen(params, declared["params"], variant),
        environment=_environment(params["threads"]),
        inputs=hashes([path for path in declared["deps"] if not path.as_posix().startswith(PACKAGE)]),
    )


class _Declared:
    """Params of which only the declared sections show: reading another is a defect of dvc.yaml."""

    def __init__(self, params: Params, stage: str, keys: list[str]) -> None:
        self._params, self._stage = params, stage
        self._sections = {key.partition(".")[0] for key in keys}

    def __getattr__(self, section: str) -> Any:
        if section not in self._sections:
            raise AttributeError(f"dvc.yaml: the stage {self._stage} reads the section {section!r}; list it in params")
        return getattr(self._params, section)


def _declaration(name: str, variant: str) -> dict[str, list[Any]]:
    """The stage's params, deps and outs (metrics and plots included) from dvc.yaml."""
    stages = yaml.safe_load(Path("dvc.yaml").read_text())["stages"]
    stage = stages[name].get("do", stages[name])
    text = json.dumps(stage).replace("${key}", variant)
    stage = json.loads(text)

    def listed(field: str) -> list[str]:
        # An entry with options is a mapping of one path to them.
        return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in stage.get(field, [])]

    return {
        "params": listed("params"),
        "deps": [Path(path) for path in listed("deps")],
        "outs": [Path(path) for field in ("outs", "metrics", "plots") for path in listed(field)],
    }


def _chosen(values: dict[str, Any], keys: list[str], variant: str) -> dict[str, Any]:
    """The declared parameters, nested. A variant's are named `predictor.…` whichever it is, so that runs line up."""
    chosen: dict[str, Any] = {}
    for key in keys:
        section, _, rest = key.partition(".")
        if rest == variant and rest:
            chosen[section.removesuffix("s")] = values[section][variant]
        else:
            chosen[section] = values[section]
    return chosen


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
