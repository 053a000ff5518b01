"""`data.source: labelled`: a table of features with a target score, as in prediction tournaments; no prices.

The rows form one sequence, in the file's order or sorted by `data.labelled.time`. A row's timestamp is its position in
the sequence, one minute per row from 1970 on, so that splits, purging, folds and windows work as they do for bars.
The contract of the table: `timestamp`, `symbol` (SEQUENCE in every row), `row_id` (text), the feature columns (float64,
NaN if empty), and `target` (float64, NaN if unknown). With a table of its own for the test span, `attrs` has the number
of its rows, which are the last, as `test_rows`.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from MLOps.config.data import DataConfig, LabelledConfig
from MLOps.config.schema import suggest
from MLOps.data.bars import KEYS, ROW_ID, TARGET, TEST_ROWS, given_features
from MLOps.data.tables import read_table
from MLOps.errors import UserError

SEQUENCE = "rows"


def read_labelled(config: DataConfig, _seed: int) -> pd.DataFrame:
    """Read the table `data.labelled.path` in contract form; prints the order that its rows are used in.

    Raises:
        UserError: the file cannot be read, a column is missing, an id is empty or repeated, a time is empty or
            invalid, or a cell is not a number.
    """
    wanted = config.labelled
    path = Path(wanted.path)
    learnt = _read(path, wanted)
    if wanted.test_path is None:
        return _contract(learnt)
    test_path = Path(wanted.test_path)
    test = _read(test_path, replace(wanted, features=tuple(given_features(learnt))), has_target=False)
    table = pd.concat([learnt, test], ignore_index=True)
    _check_ids(table[ROW_ID], test_path)
    return _contract(table, len(test))


def _contract(table: pd.DataFrame, test_rows: int = 0) -> pd.DataFrame:
    """The table with its keys; the last `test_rows` are the test span."""
    minutes = np.arange(len(table)).astype("datetime64[m]").astype("datetime64[us]")
    table.insert(0, "timestamp", pd.DatetimeIndex(minutes, tz="UTC"))
    table.insert(1, "symbol", SEQUENCE)
    table.attrs = {TEST_ROWS: test_rows} if test_rows else {}
    return table


def _read(path: Path, wanted: LabelledConfig, has_target: bool = True) -> pd.DataFrame:
    """The ids, features and targets of a file, in order."""
    table = read_table(path, lambda name: name == wanted.id)
    if not has_target and wanted.target not in table.columns:
        table[wanted.target] = np.nan
    columns = [str(name) for name in table.columns]
    given = [("id", wanted.id), ("target", wanted.target), ("time", wanted.time)]
    for key, name in (*given, *(("features", feature) for feature in wanted.features or ())):
        if name is not None and name not in columns:
            raise UserError(f"{path}: data.labelled.{key}: no column {name!r}; {suggest(name, columns)}")
    others = {name for _, name in given} | {"index"}
    names = wanted.features or [name for name in columns if name not in others]
    if not names:
        raise UserError(
            f"{path}: expected feature columns besides {wanted.id} and {wanted.target}, found none; add some"
        )
    if clashing := sorted({*KEYS, ROW_ID, TARGET} & set(names)):
        raise UserError(f"{path}: the column name {clashing[0]} is reserved by the pipeline; rename that feature")
    if table.empty:
        raise UserError(f"{path}: expected at least one row, found none; add rows")
    _check_ids(table[wanted.id], path)
    if wanted.time is None:
        print(f"{path}: rows are used in the file's order; set data.labelled.time to sort them by a column")
    else:
        print(f"{path}: rows are sorted by {wanted.time}; equal times keep the file's order")
        table = table.iloc[np.argsort(_times(table[wanted.time], path), kind="stable")]
    return pd.DataFrame(
        {
            ROW_ID: table[wanted.id].astype("str").to_numpy(),
            **{name: _numbers(table[name], path) for name in names},
            TARGET: _numbers(table[wanted.target], path),
        }
    )


def _check_ids(ids: pd.Series, path: Path) -> None:
    empty = ids.isna() | (ids.astype("str").str.strip() == "")
    for faulty, what in ((empty, "is empty"), (ids.duplicated(), "is repeated")):
        if faulty.any():
            row = int(np.argmax(faulty))
            raise UserError(
                f"{path}: expected a unique id in each row; it {what} in {int(faulty.sum())} rows, first row "
                f"{row} ({ids.iloc[row]!r}); correct or remove them"
            )


def _times(values: pd.Series, path: Path) -> np.ndarray:
    """Sort keys, (rows,): numbers if all cells are numbers, else times; other text is refused."""
    numbers = pd.to_numeric(values, errors="coerce")
    if values.dtype.kind != "M" and not numbers.isna().any():
        return numbers.to_numpy()
    times = pd.to_datetime(values.astype("str"), utc=True, format="ISO8601", errors="coerce")
    if times.isna().any():
        row = int(np.argmax(times.isna()))
        raise UserError(
            f"{path}: data.labelled.time: {values.name} must hold numbers, or ISO 8601 dates or times; "
            f"{int(times.isna().sum())} cells hold neither, first row {row} ({values.iloc[row]!r}); correct them"
        )
    return times.dt.tz_localize(None).to_numpy(dtype="datetime64[us]")


def _numbers(values: pd.Series, path: Path) -> np.ndarray:
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    wrong = (numbers.isna() & values.notna()) | np.isinf(numbers)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise UserError(
            f"{path}: {values.name} must hold finite numbers or nothing; {int(wrong.sum())} cells hold neither, first "
            f"{values.iloc[row]!r}; correct them, or name the features in data.labelled.features"
        )
    return numbers.to_numpy()
