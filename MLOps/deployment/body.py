"""The body of a request: JSON to bars and parameters, with every size and number bounded before it is used."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pydantic_core import from_json

from MLOps.config.schema import shown, suggest
from MLOps.config.serving import ServingConfig
from MLOps.data.bars import KEYS, PRICES, SENTIMENT, VALUES
from MLOps.errors import UserError

WHERE = "the request's bars"
SPLIT, RECORDS, PARAMS = "dataframe_split", "dataframe_records", "params"
ACCOUNT = "account"  # the parameter that names whose request it is
COLUMNS = (*KEYS, *VALUES, *SENTIMENT)  # others are left out
MOST_COLUMNS = 200
OTHER_CONTAINERS = 100  # lists and objects of a body beside rows and positions
LONGEST_TEXT = 64  # characters of a symbol or a timestamp
# Beyond these, sums and products of prices, shares and cash would leave the range of their types.
LARGEST, SMALLEST_PRICE = 1e15, 1e-15


def read_json(text: bytes | str, where: str, example: str) -> Any:
    """The values in a JSON text of limited depth, without NaN and infinity.

    Raises:
        UserError: naming `where`, with the place of the mistake and an `example`, and nothing of the text.
    """
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise UserError(f"{where}: expected JSON, found a mistake: {error}; write it as {example}") from None


def read_body(body: bytes, limits: ServingConfig) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The bars, and the parameters as they were sent.

    Raises:
        UserError: the body is not as docs/serving.md describes, or beyond a limit.
    """
    check_containers(body, limits)
    values = read_json(body, "the body", f'{{"{SPLIT}": {{"columns": […], "data": [[…]]}}, "{PARAMS}": {{}}}}')
    if not isinstance(values, dict):
        raise UserError(f"the body: expected a JSON object with {SPLIT}, found {_kind(values)}")
    if unknown := [key for key in values if key not in (SPLIT, RECORDS, PARAMS)]:
        raise UserError(f"the body: unknown key {shown(unknown[0])}; {suggest(unknown[0], (SPLIT, RECORDS, PARAMS))}")
    if (SPLIT in values) == (RECORDS in values):
        raise UserError(
            f"the body: expected bars as {SPLIT} or as {RECORDS}, found {'both' if SPLIT in values else 'neither'}"
        )
    params = values.get(PARAMS)
    if not isinstance(params, dict | None):
        raise UserError(f"{PARAMS}: expected a JSON object, found {_kind(params)}")
    columns = _of_split(values[SPLIT], limits) if SPLIT in values else _of_records(values[RECORDS], limits)
    return pd.DataFrame({name: _column(name, cells) for name, cells in columns.items()}), params or {}


def check_containers(body: bytes, limits: ServingConfig) -> None:
    """Bound the lists and objects of a body before it is parsed, which takes memory and time for each.

    Raises:
        UserError: there are more than its rows and positions can need.
    """
    most = 2 * limits.max_rows + 4 * limits.max_symbols + OTHER_CONTAINERS
    if (found := body.count(b"[") + body.count(b"{")) > most:
        raise UserError(f"the body: expected at most {most} lists and objects, found {found}; send fewer bars")


def account_of(body: bytes) -> str | None:
    """The parameter `account` of a body; None where it has none, or is no request at all."""
    try:
        account = from_json(body)[PARAMS][ACCOUNT]
    except (ValueError, LookupError, TypeError):
        return None
    return account if isinstance(account, str) else None


def check_name(name: str, where: str) -> str:
    """A symbol or another name of the request.

    Raises:
        UserError: it is too long, or has characters that cannot be printed.
    """
    if len(name) > LONGEST_TEXT or not name.isprintable():
        raise UserError(f"{where}: expected at most {LONGEST_TEXT} printable characters, found {shown(name)}")
    return name


def _of_split(table: Any, limits: ServingConfig) -> Mapping[str, Sequence[Any]]:
    if not isinstance(table, dict):
        raise UserError(f"{SPLIT}: expected a JSON object with columns and data, found {_kind(table)}")
    if unknown := [key for key in table if key not in ("columns", "data", "index")]:
        raise UserError(
            f"{SPLIT}: unknown key {shown(unknown[0])}; {suggest(unknown[0], ('columns', 'data', 'index'))}"
        )
    names, rows = table.get("columns"), table.get("data")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{SPLIT}: columns: expected a list of names, found {_kind(names)}")
    if len(names) > MOST_COLUMNS or len(set(names)) < len(names):
        raise UserError(f"{SPLIT}: columns: expected at most {MOST_COLUMNS} different names, found {len(names)}")
    rows = _checked_rows(rows, f"{SPLIT}: data", list, limits)
    if any(len(row) != len(names) for row in rows):
        place = next(place for place, row in enumerate(rows) if len(row) != len(names))
        raise UserError(
            f"{SPLIT}: data: expected {len(names)} values in each row, found {len(rows[place])} in row {place}"
        )
    places = {name: names.index(name) for name in COLUMNS if name in names}
    return {name: [row[place] for row in rows] for name, place in places.items()}


def _of_records(rows: Any, limits: ServingConfig) -> Mapping[str, Sequence[Any]]:
    rows = _checked_rows(rows, RECORDS, dict, limits)
    present = [name for name in COLUMNS if any(name in row for row in rows)]
    return {name: [row.get(name) for row in rows] for name in present}


def _checked_rows(rows: Any, where: str, kind: type, limits: ServingConfig) -> list[Any]:
    words = "lists" if kind is list else "objects"
    if not isinstance(rows, list):
        raise UserError(f"{where}: expected a list of {words}, found {_kind(rows)}")
    if len(rows) > limits.max_rows:
        raise UserError(f"{where}: expected at most {limits.max_rows} rows, found {len(rows)}; send fewer bars")
    if strange := set(map(type, rows)) - {kind}:
        raise UserError(f"{where}: expected a list of {words}, found in it {_kind(strange.pop()())}")
    return rows


def _column(name: str, cells: Sequence[Any]) -> Any:
    """The cells of a column as text or as float64, null as missing."""
    kinds = set(map(type, cells)) - {type(None)}
    if name in KEYS:
        if strange := kinds - {str}:
            raise UserError(f"{WHERE}: {name}: expected text, found {_kind(strange.pop()())}; correct the rows")
        for text in dict.fromkeys(cells):
            if text is not None:
                check_name(text, f"{WHERE}: {name}")
        return pd.Series(cells, dtype="str")
    if strange := kinds - {int, float}:
        raise UserError(f"{WHERE}: {name} must hold numbers, found {_kind(strange.pop()())}; correct the rows")
    if any(cell is not None and not -LARGEST <= cell <= LARGEST for cell in cells):
        raise UserError(f"{WHERE}: {name}: expected numbers of at most {LARGEST:g}; correct the rows")
    numbers = np.array(cells, dtype=float)
    if name in PRICES and (small := numbers[(numbers > 0) & (numbers < SMALLEST_PRICE)]).size:
        raise UserError(f"{WHERE}: {name}: expected prices of at least {SMALLEST_PRICE:g}, found {small[0]:g}")
    return numbers


def _kind(value: Any) -> str:
    """What a JSON value is, without the value."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
