"""The record of a stage: everything in its MLflow run, as files that DVC stores with the stage's outputs.

A stage that DVC restores from its cache does not execute and logs nothing; its run is written from the restored record,
with the same content as a run logged live.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from MLOps.artifacts import content_hash, read_json, value_hash, write_json
from MLOps.errors import UserError

RECORD = "record.json"


@dataclass
class Record:
    """`history` holds (step, metrics) in order; `inputs` and `outputs` map paths to SHA-256; `folder` keeps plots."""

    stage: str
    folder: Path
    params: dict[str, Any]
    environment: dict[str, Any]
    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    history: list[tuple[int, dict[str, float]]] = field(default_factory=list)

    @property
    def content_hash(self) -> str:
        """Identifies the computation and its result, independent of time and machine."""
        return value_hash({**asdict(self), "folder": None})

    @property
    def params_hash(self) -> str:
        return value_hash(self.params)

    def artifacts(self) -> list[Path]:
        """The files to log with the run: plots and reports, without the record itself."""
        return sorted(p for p in self.folder.rglob("*") if p.is_file() and p.name != RECORD)

    def save(self) -> None:
        values = asdict(self)
        del values["folder"]
        write_json(self.folder / RECORD, values)

    @classmethod
    def load(cls, folder: Path) -> "Record":
        values = read_json(folder / RECORD)
        values["history"] = [(step, metrics) for step, metrics in values["history"]]
        return cls(folder=folder, **values)


def check_unchanged(found: Mapping[str, str], folder: Path) -> None:
    """Compare the hashes of files with those that the stages recorded which made them.

    A record that cannot be read is skipped: DVC restores it before the stages that come after its own.

    Args:
        found: SHA-256 by path; of a folder, the files that stages made in it are compared too.
        folder: with the records of all stages.

    Raises:
        UserError: a file is not the one that its stage made.
    """
    for file in sorted(folder.rglob(RECORD)):
        try:
            made = read_json(file)
            outputs = {path: digest for path, digest in made["outputs"].items() if _is_among(Path(path), found)}
        except (UserError, LookupError, TypeError, AttributeError):
            continue
        for path, digest in outputs.items():
            if (found.get(path) or content_hash(Path(path))) != digest:
                raise UserError(
                    f"{path}: not as the stage {made['stage']} made it; `dvc repro` restores or remakes it; if "
                    "this message recurs, delete it and .dvc/cache first"
                )


def _is_among(path: Path, found: Mapping[str, str]) -> bool:
    """Whether a file or folder is one of those found, or lies in one."""
    return any(str(place) in found for place in (path, *path.parents)) and path.exists()


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested parameters under dotted names: {"a": {"b": 1}} becomes {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


def hashes(paths: Iterable[Path]) -> dict[str, str]:
    """The content hash of each path, by its name."""
    return {path.as_posix(): content_hash(path) for path in paths}
