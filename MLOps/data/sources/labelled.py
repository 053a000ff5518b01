"""`data.source: labelled`: a table of features with a target score, as prediction tournaments give; no prices.

Rows count as one sequence in the order of their ids. Its place in that order is a row's timestamp, one minute a row
from 1970 on, so that all that keeps the future from the past for bars does so here: splits, purge, folds, windows.
The contract of the table: `timestamp`, `symbol` (SEQUENCE throughout), the feature columns (float64, NaN where empty),
and `target` (float64, NaN where it is not known).
"""

from pathlib import Path

import numpy as np
import pandas as pd

from MLOps.config.data import DataConfig
from MLOps.config.schema import suggest
from MLOps.data.bars import KEYS, TARGET
from MLOps.data.sources.files import read_table
from MLOps.errors import UserError

SEQUENCE = "rows"


def read_labelled(config: DataConfig, _seed: int) -> pd.DataFrame:
    """The table `data.labelled.path` in its contract, sorted by id: by number where all ids are numbers.

    Raises:
        UserError: the file cannot be read, a column is missing, an id is empty or comes twice, or a cell is no number.
    """
    wanted = config.labelled
    path = Path(wanted.path)
    table = read_table(path)
    columns = [str(name) for name in table.columns]
    for key, name in (("id", wanted.id), ("target", wanted.target), *(("features", f) for f in wanted.features or ())):
        if name not in columns:
            raise UserError(f"{path}: data.labelled.{key}: no column {name!r}; {suggest(name, columns)}")
    names = wanted.features or [name for name in columns if name not in (wanted.id, wanted.target, "index")]
    if not names:
        raise UserError(f"{path}: expected columns of features beside {wanted.id} and {wanted.target}, found none")
    if clashing := sorted({*KEYS, TARGET} & set(names)):
        raise UserError(f"{path}: {clashing[0]} is a name that the pipeline gives itself; rename that feature's column")
    if table.empty:
        raise UserError(f"{path}: expected rows, found none; give at least one")
    table = table.iloc[_order(table[wanted.id], path)]
    minutes = np.arange(len(table)).astype("datetime64[m]").astype("datetime64[us]")
    return pd.DataFrame(
        {
            "timestamp": pd.DatetimeIndex(minutes, tz="UTC"),
            "symbol": SEQUENCE,
            **{name: _numbers(table[name], path) for name in names},
            TARGET: _numbers(table[wanted.target], path),
        }
    )


def _order(ids: pd.Series, path: Path) -> np.ndarray:
    for faulty, what in ((ids.isna(), "is empty"), (ids.duplicated(), "comes twice")):
        if faulty.any():
            row = int(np.argmax(faulty))
            raise UserError(
                f"{path}: {ids.name} names each row once; at row {row} it {what} ({ids.iloc[row]!r}), as in "
                f"{int(faulty.sum())} rows; correct or remove them"
            )
    numbers = pd.to_numeric(ids, errors="coerce")
    keys = ids.astype("str") if numbers.isna().any() else numbers
    return np.argsort(keys.to_numpy(), kind="stable")


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
