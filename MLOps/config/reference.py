"""Every key of params.yaml as Markdown, from the typed configuration: `docs/reference/params.md` is its output."""

import dataclasses
import inspect
import json
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Literal

import annotated_types

from MLOps.config.params import SECTIONS, Params, parse_yaml

INTRODUCTION = """# Parameters

Every key of params.yaml. `python -m MLOps.config.reference` writes this page from the typed configuration. A key
without a default is required. `NAME` and `PARAMETER` stand for names, `[]` for any entry of a list, and a "section" has
keys of its own, which a table below lists.
"""
# The guide to each section, relative to the page.
GUIDES = {
    "execution": "../scaling.md",
    "data": "../data.md",
    "splits": "../predictors.md#model-selection",
    "features": "../features.md",
    "labels": "../features.md#labels",
    "predictors": "../predictors.md",
    "search": "../predictors.md#hyperparameter-search",
    "validation": "../predictors.md#verdicts",
    "trading": "../trading.md",
    "agents": "../agents.md",
    "agent_ensemble": "../agents.md#ensembles-of-agents",
    "backtest": "../trading.md#baselines-of-a-backtest",
    "walk_forward": "../evaluation.md",
    "gate": "../gate.md",
    "serving": "../serving.md",
    "monitoring": "../monitoring.md",
}
# The unit of a number by the end of its key; the description gives that of other keys.
UNITS = {
    "_bps": "basis points",
    "_bps_per_year": "basis points a year",
    "_bars": "bars",
    "_rows": "rows",
    "_days": "days",
    "_minutes": "minutes",
    "_s": "seconds",
    "_mb": "megabytes",
    "_epochs": "epochs",
    "every_steps": "environment steps",
    "total_timesteps": "environment steps",
    "n_steps": "environment steps",
    "target_update_interval": "environment steps",
    "gradient_steps": "updates",
    "warmup_steps": "updates",
    "_std": "standard deviations",
    "_volatilities": "standard deviations",
}
NUMBERS = {annotated_types.Ge: "≥ ", annotated_types.Gt: "> ", annotated_types.Le: "≤ ", annotated_types.Lt: "< "}
PLAIN = {int: "integer", float: "number", str: "text", bool: "`true`, `false`", types.NoneType: "`null`"}
LONGEST_LIST = 5
SECTION = "section"
OF_KIND = "the kind, to which the keys of this table belong"


@dataclasses.dataclass(frozen=True)
class Key:
    """One key: `default` is "" if it is required; an entry in `sections` describes the keys within it."""

    path: str
    type: str
    default: str
    unit: str
    description: str


def as_markdown(params_file: Path = Path("params.yaml")) -> str:
    """The whole page; `params_file` gives the values of the repository."""
    values, described = parse_yaml(params_file.read_text()), descriptions(Params)
    kinds = {name: resolve_name(place) for name, place in SECTIONS.items()}
    plain = [Key(name, type_words(kind), "", "", described[name]) for name, kind in kinds.items() if not classes(kind)]
    parts = [INTRODUCTION, "## Top level\n", _rows(plain, values)]
    for name, kind in kinds.items():
        if classes(kind):
            guide = f"Guide: [{name}]({GUIDES[name]}).\n" if name in GUIDES else ""
            parts += [f"## {name}\n", *filter(None, [guide]), *_tables(_path_of_keys(name, kind), kind, values[name])]
    return "\n".join(parts)


def descriptions(kind: type) -> dict[str, str]:
    """What the docstrings of a class and of its bases say of each key under `Attributes:`."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        listed = inspect.cleandoc(base.__dict__.get("__doc__") or "").partition("Attributes:\n")[2]
        for name, wrapped in re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", listed, flags=re.MULTILINE):
            words = " ".join(wrapped.split())
            found[name] = words if ". " in words else words.removesuffix(".")
    return found


def classes(kind: Any) -> list[type]:
    """The dataclasses that a key of this type can hold; none for a plain value."""
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return [kind]
    return [found for part in typing.get_args(kind) for found in classes(part)]


def keys(path: str, kind: type) -> list[Key]:
    """The keys of a class, at `path`."""
    hints, described = typing.get_type_hints(kind, include_extras=True), descriptions(kind)
    fields = sorted(dataclasses.fields(kind), key=lambda field: field.name != "kind")
    return [
        Key(
            f"{path}.{field.name}",
            SECTION if classes(hints[field.name]) == [hints[field.name]] else type_words(hints[field.name]),
            _default(field),
            UNITS.get(max((end for end in UNITS if field.name.endswith(end)), key=len, default=""), ""),
            described.get(field.name, OF_KIND if field.name == "kind" else ""),
        )
        for field in fields
    ]


def type_words(kind: Any) -> str:
    """A type with its allowed values, in words."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    words = ""
    if dataclasses.is_dataclass(kind):
        words = SECTION
    elif origin is typing.Annotated:
        rules = [_rule(rule) for entry in inner[1:] for rule in getattr(entry, "metadata", [entry])]
        words = f"{type_words(inner[0])} {' and '.join(filter(None, rules))}".strip()
    elif origin is Literal:
        words = ", ".join(f"`{_yaml(value)}`" for value in inner)
    elif origin in (typing.Union, types.UnionType):
        words = " or ".join(dict.fromkeys(type_words(part) for part in inner))
    elif origin is tuple:
        words = f"list of {'' if inner[-1] is Ellipsis else f'{len(inner)} × '}{type_words(inner[0])}"
    elif origin is dict:
        words = f"mapping to {type_words(inner[1])}"
    return words or PLAIN[kind]


def _rule(rule: Any) -> str:
    for bound, sign in NUMBERS.items():
        if isinstance(rule, bound):
            return sign + str(getattr(rule, bound.__name__.lower()))
    if isinstance(rule, annotated_types.MinLen):
        return f"(at least {rule.min_length})"
    pattern = getattr(rule, "pattern", None)
    return f"matching `{pattern}`" if pattern else ""


def _default(field: "dataclasses.Field[Any]") -> str:
    if field.default_factory is not dataclasses.MISSING:
        return f"`{_yaml(field.default_factory())}`"
    return "" if field.default is dataclasses.MISSING else f"`{_yaml(field.default)}`"


def _yaml(value: Any) -> str:
    """A value as it stands in params.yaml."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        shown = [*map(_yaml, value[:LONGEST_LIST]), *(["…"] if len(value) > LONGEST_LIST else [])]
        return f"[{', '.join(shown)}]"
    return value if isinstance(value, str) else json.dumps(value, default=lambda _: {})


def _path_of_keys(path: str, kind: Any) -> str:
    """The path of the keys in a section's type: below a name that the user chooses, or in the entries of a list."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _path_of_keys(path, inner[0])
    if origin is dict:
        return _path_of_keys(f"{path}.{'PARAMETER' if path.endswith('.NAME') else 'NAME'}", inner[1])
    return f"{path}[]" if origin is tuple else path


def _tables(path: str, kind: Any, values: Any) -> Iterator[str]:
    """The tables of a section's type and of the sections within it; `values` are those of the section."""
    members = classes(kind)
    families: dict[type, list[type]] = {}
    for member in members:
        oldest = next(base for base in reversed(member.__mro__) if dataclasses.is_dataclass(base))
        families.setdefault(oldest, []).append(member)
    for oldest, family in families.items():
        shared: list[Key] = []
        if len(family) > 1:
            shared = [key for key in keys(path, oldest) if not key.path.endswith(".kind")]
            yield from _table(f"{path}, shared by {', '.join(map(_kinds, family))}", oldest, shared, values)
        for member in family:
            title = f"{path}, kind: {_kinds(member)}" if len(members) > 1 else path
            yield from _table(title, member, [key for key in keys(path, member) if key not in shared], values)
    within = {
        (field.name, part): _path_of_keys(f"{path}.{field.name}", hints[field.name])
        for member in members
        for hints in [typing.get_type_hints(member, include_extras=True)]
        for field in dataclasses.fields(member)
        for part in classes(hints[field.name])
    }
    for (name, part), place in within.items():
        yield from _tables(place, part, values.get(name) if isinstance(values, dict) else None)


def _kinds(kind: type) -> str:
    return ", ".join(f"`{name}`" for name in typing.get_args(typing.get_type_hints(kind)["kind"]))


def _table(title: str, kind: type, rows: list[Key], values: Any) -> Iterator[str]:
    """A heading unless it is a section's, the text of the docstring, and the keys."""
    if "." in title or "," in title:
        yield f"### {title}\n"
    summary = (inspect.getdoc(kind) or "").partition("Attributes:\n")[0].strip()
    if not summary.startswith(f"{kind.__name__}("):  # what dataclasses write where there is none
        yield f"{summary}\n"
    yield _rows([key for key in rows if key.type != SECTION], values)


def _rows(rows: list[Key], values: Any) -> str:
    """A Markdown table; with the values of the repository if it has some of the keys."""
    here = {key: key.path.rpartition(".")[2] for key in rows}
    kinds = next((key.type for key in rows if key.path.endswith(".kind")), "")
    given = (
        isinstance(values, dict)
        and f"{values.get('kind', '')}" in kinds
        and any(map(values.__contains__, here.values()))
    )
    head = ["key", "type", "default", *(["params.yaml"] if given else []), "unit", "meaning"]
    lines = [head, ["---"] * len(head)]
    for key, name in here.items():
        value = [f"`{_yaml(values[name])}`" if name in values else ""] if given else []
        lines.append([f"`{key.path}`", key.type, key.default, *value, key.unit, key.description])
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    print(as_markdown(), end="")
