"""What dvc.yaml declares of a stage, and params.yaml as far as the stage declares to read it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from MLOps.config.params import Params, parse_yaml
from MLOps.config.schema import as_json
from MLOps.pipelines import paths

# Folders with a file or folder for each named variant. One that params.yaml no longer names may still lie there.
VARIANTS = {
    paths.PREDICTORS: "predictors",
    paths.TUNED: "predictors",
    paths.PREDICTOR_SIGNALS: "predictors",
    paths.HISTORY / "train_predictor": "predictors",
    paths.TUNED_AGENTS: "agents",
    paths.AGENTS: "agents",
    paths.HISTORY / "train_agent": "agents",
}


def stage_names(params: Params) -> list[tuple[str, str]]:
    """Each stage that computes something, in the order of dvc.yaml, with its variant or ""."""
    names = []
    for name, stage in _stages().items():
        # `prepare` and `promote` run always; they leave no record.
        if not stage.get("always_changed"):
            section = stage.get("foreach", "").strip("${}")
            names += [(name, variant) for variant in (getattr(params, section) if section else [""])]
    return names


@dataclass(frozen=True)
class Declaration:
    """A stage of dvc.yaml with its variant filled in: keys of params.yaml, data it reads, files it makes."""

    name: str
    variant: str
    keys: tuple[str, ...]
    data: tuple[Path, ...]
    outputs: tuple[Path, ...]

    @classmethod
    def read(cls, name: str, variant: str) -> "Declaration":
        """The stage `name` of dvc.yaml."""
        stage = _stages()[name]
        stage = json.loads(json.dumps(stage.get("do", stage)).replace("${key}", variant))

        def listed(*fields: str) -> list[str]:
            entries = [entry for field in fields for entry in stage.get(field, [])]
            # An entry with options is a mapping of one path to them.
            return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]

        return cls(
            name=name,
            variant=variant,
            keys=tuple(listed("params")),
            data=tuple(path for path in map(Path, listed("deps")) if not path.is_relative_to(paths.USES)),
            outputs=tuple(Path(path) for path in listed("outs", "metrics", "plots")),
        )

    @property
    def stage(self) -> str:
        """The stage's name with its variant: `train_agent/ppo`."""
        return f"{self.name}/{self.variant}" if self.variant else self.name

    def inputs(self, params: Params) -> list[Path]:
        """The files and folders that the stage reads; of a folder of variants those that params.yaml names."""
        return list(dict.fromkeys(path for folder in self.data for path in _current(folder, params)))

    def visible(self, params: Params) -> Params:
        """`params` with the declared keys and no others: reading another is an AttributeError."""
        return cast(Params, _Visible(params, self.stage, self.keys, ""))

    def values(self, params: Params) -> dict[str, Any]:
        """The declared parameters, nested, as JSON has them.

        A variant's own are named `predictor.…` or `agent.…` whichever variant it is, so that runs line up.
        """
        chosen: dict[str, Any] = {}
        for key in self.keys:
            path = key.split(".")
            value = as_json(_at(params, path))
            if self.variant and path[-1] == self.variant:
                path = [path[0].removesuffix("s")]
            place = chosen
            for part in path[:-1]:
                place = place.setdefault(part, {})
            place[path[-1]] = value
        return chosen


def do_nothing(name: str, variant: str, reason: str) -> None:
    """Print why a stage has nothing to do and create its declared folders, empty; there is no run and no record."""
    declared = Declaration.read(name, variant)
    print(f"{declared.stage}: nothing to do: {reason}")
    for path in declared.outputs:
        if not path.suffix:
            path.mkdir(parents=True, exist_ok=True)


class _Visible:
    """A section, or a mapping of variants, restricted to the declared keys."""

    def __init__(self, section: Any, stage: str, keys: tuple[str, ...], path: str) -> None:
        self._section, self._stage, self._keys, self._path = section, stage, keys, path

    def __getattr__(self, name: str) -> Any:
        return self._show(name)

    def __getitem__(self, name: str) -> Any:
        return self._show(name)

    def _show(self, name: str) -> Any:
        path = f"{self._path}{name}"
        if path in self._keys:
            return _at(self._section, [name])
        if any(key.startswith(f"{path}.") for key in self._keys):
            return _Visible(_at(self._section, [name]), self._stage, self._keys, f"{path}.")
        raise AttributeError(f"dvc.yaml: the stage {self._stage} reads {path!r}; list it in its params")


def _stages() -> dict[str, Any]:
    stages: dict[str, Any] = parse_yaml(Path("dvc.yaml").read_text())["stages"]
    return stages


def _current(folder: Path, params: Params) -> list[Path]:
    if folder not in VARIANTS:
        return [folder]
    names = getattr(params, VARIANTS[folder])
    return sorted(path for path in folder.iterdir() if path.name.partition(".")[0] in names) if folder.exists() else []


def _at(values: Any, path: list[str]) -> Any:
    for part in path:
        values = values[part] if isinstance(values, dict) else getattr(values, part)
    return values
