"""Parse sections of params.yaml into frozen dataclasses, with one-sentence error messages."""

import dataclasses
import difflib
import json
import types
import typing
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from MLOps.errors import UserError

T = TypeVar("T")


@typing.dataclass_transform(frozen_default=True, kw_only_default=True)
def section(cls: type[T]) -> type[T]:
    """Decorate a section of params.yaml: frozen, every key known and typed, nothing converted silently."""
    return pydantic_dataclass(  # type: ignore[return-value]
        frozen=True, kw_only=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    )(cls)


def parse(kind: type[T], values: Any, where: str, key: str = "") -> T:
    """Parse `values`, as read from YAML, into the section type `kind`.

    Args:
        where: the file, for messages.
        key: the section's key in that file; "" for the whole file.

    Raises:
        UserError: naming `where` and the first key that is unknown, missing or of the wrong type.
    """
    try:
        # In strict mode pydantic's JSON parser accepts a list for a tuple, but no string for a number.
        return TypeAdapter(kind).validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        raise UserError(_sentence(kind, error, where, key)) from None


def as_json(value: Any) -> Any:
    """A section of params.yaml, a mapping of sections, or a value in one, as JSON has it."""
    if isinstance(value, dict):
        return {name: as_json(entry) for name, entry in value.items()}
    return json.loads(
        json.dumps(
            dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value
        )
    )


def suggest(word: str, known: typing.Iterable[str]) -> str:
    """The end of a message on an unknown `word`: the closest known word, or all known words."""
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"


def _sentence(kind: type, error: ValidationError, where: str, section_key: str) -> str:
    details = error.errors(include_url=False)
    # A misspelt key is reported before the key that is therefore missing.
    first = next((d for d in details if d["type"] == "unexpected_keyword_argument"), details[0])
    path, known = _written_path(kind, [str(part) for part in first["loc"]])
    key = ".".join([section_key, *path] if section_key else path)
    if first["type"] == "unexpected_keyword_argument":
        return f"{where}: unknown key {key!r}; {suggest(path[-1], known)}"
    if first["type"] == "missing":
        return f"{where}: the key {key!r} is missing; add it"
    # pydantic reports a union once for each member.
    rules = [d["msg"] for d in details if _written_path(kind, [str(part) for part in d["loc"]])[0] == path]
    message = " or ".join(rule.removeprefix("Value error, ").removeprefix("Input ") for rule in rules)
    if first["type"] == "value_error":  # a rule over several keys, whose message already says what to do
        return f"{where}: {key + ': ' if key else ''}{message}"
    return f"{where}: {key}: {message}, found {first['input']!r}; correct it"


def _written_path(kind: Any, loc: list[str]) -> tuple[list[str], list[str]]:
    """The keys of `loc` that occur in the file, and the known keys at the level of the last one.

    pydantic's path also contains the member of a union (`predictors.lstm.<kind>.hidden_size`,
    `data.bars_per_year.float`), which is not in the file.
    """
    path, known = [], []
    for part in loc:
        if typing.get_origin(kind) is typing.Annotated:
            kind = typing.get_args(kind)[0]
        members = [k for k in typing.get_args(kind) if dataclasses.is_dataclass(k)]
        if len(members) > 1:
            kind = next(k for k in members if part in typing.get_args(typing.get_type_hints(k)["kind"]))
            continue
        plain = [k for k in typing.get_args(kind) if k is not types.NoneType]
        if typing.get_origin(kind) in (typing.Union, types.UnionType) and not members and len(plain) > 1:
            continue
        kind = members[0] if members and typing.get_origin(kind) is not dict else kind
        path.append(part)
        if dataclasses.is_dataclass(kind):
            known = [field.name for field in dataclasses.fields(kind)]
            kind = typing.get_type_hints(kind).get(part)
        elif typing.get_origin(kind) is dict:
            kind = typing.get_args(kind)[1]
    return path, known
