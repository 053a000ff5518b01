"""Parse sections of params.yaml into frozen dataclasses, with one-sentence error messages."""

import dataclasses
import difflib
import json
import re
import types
import typing
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from MLOps.errors import UserError

T = TypeVar("T")

LISTED_LETTERS = 140  # of the known words in a message
LONGEST_WORD = 64  # characters of an unknown word that are compared with the known ones
SHOWN_LETTERS = 50  # of a wrong value in a message
# pydantic's terms, and what YAML calls them.
TERMS = {
    r"^Input ": "",
    r"a dictionary or an instance of \w+|an object|a valid dictionary": "a mapping of keys to values",
    r"a valid (array|tuple|list)": "a list",
    r"a valid integer.*": "an integer",
    r"a valid ": "a ",
    r"^(Tuple|Dictionary|List) ": "",
    r" after validation, not \d+": "",
    r"^String should have at least 1 character": "should not be empty",
}


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
    """The end of a message on an unknown `word`: the closest known word, or the known words, of many only the first."""
    known = sorted(known)
    if near := difflib.get_close_matches(word[:LONGEST_WORD], known, n=1):
        return f"did you mean {near[0]!r}?"
    listed = ", ".join(known)
    if len(listed) > LISTED_LETTERS:
        shown = listed[:LISTED_LETTERS].rpartition(", ")[0]
        listed = f"{shown}, and {len(known) - shown.count(', ') - 1} more"
    return f"known here: {listed}"


def shown(value: Any) -> str:
    """A wrong value, shortened for a message."""
    text = repr(value)
    return text if len(text) <= SHOWN_LETTERS else f"{text[:SHOWN_LETTERS]}…"


def _sentence(kind: type, error: ValidationError, where: str, section_key: str) -> str:
    details = error.errors(include_url=False)
    written = [_written_path(kind, [str(part) for part in detail["loc"]]) for detail in details]
    # A misspelt key is reported before the key that is therefore missing. Of the members of a union, the one whose
    # mistake lies deepest is the one that was meant.
    ranks = [
        (detail["type"] != "unexpected_keyword_argument", -len(path))
        for detail, (path, _) in zip(details, written, strict=True)
    ]
    chosen = min(range(len(details)), key=ranks.__getitem__)
    first, (path, known) = details[chosen], written[chosen]
    key = ".".join([section_key, *path] if section_key else path)
    kind_key = f"{key}.kind".lstrip(".")
    if first["type"] == "unexpected_keyword_argument":
        return f"{where}: unknown key {key!r}; {suggest(path[-1], known)}"
    if first["type"] in ("missing", "union_tag_not_found"):
        return f"{where}: the key {(key if first['type'] == 'missing' else kind_key)!r} is missing; add it"
    if first["type"] == "union_tag_invalid":
        tag, tags = first["ctx"]["tag"], _quoted(first["ctx"]["expected_tags"])
        return f"{where}: {kind_key}: unknown kind {tag!r}; {suggest(tag, tags)}"
    # pydantic reports a union once for each member.
    alike = [detail for detail, (other, _) in zip(details, written, strict=True) if other == path]
    return f"{where}: {f'{key}: ' if key else ''}{_wrong_value(first, alike)}"


def _wrong_value(first: Any, alike: list[Any]) -> str:
    """What is wrong with a value, by what each member of its type's union says of it."""
    value = first["input"]
    if first["type"] == "value_error":  # a rule of our own, whose message already says what to do
        return str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "literal_error" and len(alike) == 1 and isinstance(value, str):
        return f"unknown value {value!r}; {suggest(value, _quoted(first['ctx']['expected']))}"
    rules = list(dict.fromkeys(_in_terms_of_yaml(detail["msg"]) for detail in alike))
    rule = " or ".join([rules[0], *(other.removeprefix("should be ") for other in rules[1:])])
    return f"{rule}, found {shown(value)}; {_advice(first['type'], value)}"


def _quoted(text: str) -> list[str]:
    return re.findall(r"'([^']*)'", text)


def _in_terms_of_yaml(message: str) -> str:
    for pattern, term in TERMS.items():
        message = re.sub(pattern, term, message)
    return message


def _advice(type_: str, value: Any) -> str:
    if type_.startswith(("float", "int")) and isinstance(value, str):
        # YAML 1.1 reads 1e-3 as text.
        try:
            return f"write {float(value)!r}" if type_.startswith("float") else f"write {int(value)}"
        except ValueError:
            return "correct it"
    return "correct it"


def _written_path(kind: Any, loc: list[str]) -> tuple[list[str], list[str]]:
    """The keys of `loc` that occur in the file, and the known keys at the level of the last one.

    pydantic's path also contains the member of a union (`predictors.lstm.<kind>.hidden_size`,
    `data.bars_per_year.float`), which is not in the file.
    """
    path, known = [], []
    for part in loc:
        members = _members(kind)
        if len(members) > 1:
            kind = next((member for member in members if part in _member_names(member)), None)
            continue
        kind = members[0]
        path.append(part)
        if dataclasses.is_dataclass(kind):
            known = [field.name for field in dataclasses.fields(kind)]
            kind = typing.get_type_hints(kind, include_extras=True).get(part)
        elif typing.get_origin(kind) is dict:
            kind = typing.get_args(kind)[1]
        elif typing.get_origin(kind) is tuple:
            kind = typing.get_args(kind)[0]
        else:
            kind = None
    return path, known


def _members(kind: Any) -> list[Any]:
    """The types of a union but None, or the type itself; annotations are left out."""
    while typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return [member for member in typing.get_args(kind) if member is not types.NoneType]
    return [kind]


def _member_names(kind: Any) -> list[str]:
    """What pydantic may call a member of a union that has keys or items."""
    (kind,) = _members(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return [kind.__name__, *typing.get_args(typing.get_type_hints(kind).get("kind"))]
    return []
