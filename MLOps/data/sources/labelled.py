"""`data.source: labelled`: a table of features with a target score, as prediction tournaments give; no prices.

Rows count as one sequence, in the file's order or in that of `data.labelled.time`. Its place in that order is a row's
timestamp, one minute a row from 1970 on, so that all that keeps the future from the past for bars does so here: splits,
purge, folds, windows.
The contract of the table: `timestamp`, `symbol` (SEQUENCE throughout), the feature columns (float64, NaN where empty),
and `target` (float64, NaN where it is not known).
"""

from pathlib import Path

import numpy as np
import pandas as pd

from MLOps.config.data import DataConfig
from MLOps.config.schema import suggest
from MLOps.data.bars import KEYS, TARGET
from MLOps.data.tables import read_table
from MLOps.errors import UserError

SEQUENCE = "rows"


def read_labelled(config: DataConfig, _seed: int) -> pd.DataFrame:
    """The table `data.labelled.path` in its contract; says on the console in which order its rows count.

    Raises:
        UserError: the file cannot be read, a column is missing, an id is empty or comes twice, a time is empty or none,
            or a cell is no number.
    """
    wanted = config.labelled
    path = Path(wanted.path)
    table = read_table(path, lambda name: name == wanted.id)
    columns = [str(name) for name in table.columns]
    given = [("id", wanted.id), ("target", wanted.target), ("time", wanted.time)]
    for key, name in (*given, *(("features", feature) for feature in wanted.features or ())):
        if name is not None and name not in columns:
            raise UserError(f"{path}: data.labelled.{key}: no column {name!r}; {suggest(name, columns)}")
    others = {name for _, name in given} | {"index"}
    names = wanted.features or [name for name in columns if name not in others]
    if not names:
        raise UserError(f"{path}: expected columns of features beside {wanted.id} and {wanted.target}, found none")
    if clashing := sorted({*KEYS, TARGET} & set(names)):
        raise UserError(f"{path}: {clashing[0]} is a name that the pipeline gives itself; rename that feature's column")
    if table.empty:
        raise UserError(f"{path}: expected rows, found none; give at least one")
    _check_ids(table[wanted.id], path)
    if wanted.time is None:
        print(f"{path}: rows count in the file's order; data.labelled.time can name a column to sort them by")
    else:
        print(f"{path}: rows are sorted by {wanted.time}, and keep the file's order where that is equal")
        table = table.iloc[np.argsort(_times(table[wanted.time], path), kind="stable")]
    minutes = np.arange(len(table)).astype("datetime64[m]").astype("datetime64[us]")
    return pd.DataFrame(
        {
            "timestamp": pd.DatetimeIndex(minutes, tz="UTC"),
            "symbol": SEQUENCE,
            **{name: _numbers(table[name], path) for name in names},
            TARGET: _numbers(table[wanted.target], path),
        }
    )


def _check_ids(ids: pd.Series, path: Path) -> None:
    empty = ids.isna() | (ids.astype("str").str.strip() == "")
    for faulty, what in ((empty, "is empty"), (ids.duplicated(), "comes twice")):
        if faulty.any():
            row = int(np.argmax(faulty))
            raise UserError(
                f"{path}: {ids.name} names each row once; at row {row} it {what} ({ids.iloc[row]!r}), as in "
                f"{int(faulty.sum())} rows; correct or remove them"
            )


def _times(values: pd.Series, path: Path) -> np.ndarray:
    """What to sort by, (rows,): numbers where all cells are numbers, else times. Other text has no order of time."""
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
