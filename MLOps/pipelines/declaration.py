"""What dvc.yaml declares of a stage, and params.yaml as far as the stage declares to read it."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from MLOps.config import Params
from MLOps.pipelines import paths

CODE = ("MLOps/", "requirements.txt")  # dependencies, but no data
# Folders with a file or folder for each named variant. One that params.yaml no longer names may still lie there.
VARIANTS = {
    paths.PREDICTORS: "predictors",
    paths.TUNED: "predictors",
    paths.PREDICTOR_SIGNALS: "predictors",
    paths.AGENTS: "agents",
    paths.METRICS / "train_agent": "agents",
}


@dataclass(frozen=True)
class Declaration:
    """A stage of dvc.yaml with its variant filled in: keys of params.yaml, data it reads, files it makes."""

    stage: str
    variant: str
    keys: tuple[str, ...]
    inputs: tuple[Path, ...]
    outputs: tuple[Path, ...]

    @classmethod
    def read(cls, name: str, variant: str, params: Params) -> "Declaration":
        """The stage `name` of dvc.yaml."""
        stage = yaml.safe_load(Path("dvc.yaml").read_text())["stages"][name]
        values = {"key": variant}
        text = re.sub(
            r"\$\{([\w.]+)\}",
            lambda found: str(values.get(found[1]) or _at(asdict(params), found[1])),
            json.dumps(stage.get("do", stage)),
        )
        stage = json.loads(text)

        def listed(*fields: str) -> list[str]:
            entries = [entry for field in fields for entry in stage.get(field, [])]
            # An entry with options is a mapping of one path to them.
            return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]

        data = [Path(path) for path in listed("deps") if not path.startswith(CODE)]
        return cls(
            stage=f"{name}/{variant}" if variant else name,
            variant=variant,
            keys=tuple(listed("params")),
            inputs=tuple(dict.fromkeys(path for folder in data for path in _current(folder, params))),
            outputs=tuple(Path(path) for path in listed("outs", "metrics", "plots")),
        )

    def visible(self, params: Params) -> Params:
        """`params` with the declared keys and no others: reading another is an AttributeError."""
        return cast(Params, _Visible(params, self.stage, self.keys, ""))

    def values(self, params: Params) -> dict[str, Any]:
        """The declared parameters, nested, as JSON has them.

        A variant's own are named `predictor.…` or `agent.…` whichever variant it is, so that runs line up.
        """
        everything = json.loads(json.dumps(asdict(params)))
        chosen: dict[str, Any] = {}
        for key in self.keys:
            path = key.split(".")
            value = _at(everything, key)
            if self.variant and path[-1] == self.variant:
                path = [path[0].removesuffix("s")]
            place = chosen
            for part in path[:-1]:
                place = place.setdefault(part, {})
            place[path[-1]] = value
        return chosen


class _Visible:
    """A section, or a mapping of variants, of which only some keys show."""

    def __init__(self, section: Any, stage: str, keys: tuple[str, ...], path: str) -> None:
        self._section, self._stage, self._keys, self._path = section, stage, keys, path

    def __getattr__(self, name: str) -> Any:
        return self._show(name, getattr(self._section, name))

    def __getitem__(self, name: str) -> Any:
        return self._show(name, self._section[name])

    def _show(self, name: str, value: Any) -> Any:
        path = f"{self._path}{name}"
        if path in self._keys:
            return value
        if any(key.startswith(f"{path}.") for key in self._keys):
            return _Visible(value, self._stage, self._keys, f"{path}.")
        raise AttributeError(f"dvc.yaml: the stage {self._stage} reads {path!r}; list it in its params")


def _current(folder: Path, params: Params) -> list[Path]:
    if folder not in VARIANTS:
        return [folder]
    names = getattr(params, VARIANTS[folder])
    return sorted(path for path in folder.iterdir() if path.name.partition(".")[0] in names) if folder.exists() else []


def _at(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values[part]
    return values
