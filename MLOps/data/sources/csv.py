"""`data.source: csv`: one CSV file of many symbols, in the columns of the bars contract and perhaps `adj_close`."""

from pathlib import Path

import pandas as pd

from MLOps.config.params import DataConfig
from MLOps.data.adjust import adjust
from MLOps.data.bars import COLUMNS, KEYS, check_bars
from MLOps.errors import UserError


def read_csv(config: DataConfig, _seed: int) -> pd.DataFrame:
    """The bars in the file `data.csv.path`."""
    return bars_from_csv(Path(config.csv.path), config.on_duplicate, config.on_unsorted)


def bars_from_csv(path: Path, on_duplicate: str = "error", on_unsorted: str = "error") -> pd.DataFrame:
    """Bars from the CSV file at `path` (a name in .gz is unpacked), adjusted where it has an `adj_close`.

    A column `date` may stand for `timestamp`.

    Raises:
        UserError: no such file, not a CSV file, no row, or rows that are no bars.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; set data.csv.path to a CSV file of bars")
    try:
        bars = pd.read_csv(path, dtype={"symbol": "str"})
    except pd.errors.EmptyDataError:
        raise UserError(f"{path}: expected a header and bars, found an empty file; give at least one row") from None
    except (pd.errors.ParserError, UnicodeDecodeError, OSError, EOFError) as error:
        raise UserError(f"{path}: not readable as CSV: {' '.join(str(error).split())}; correct the file") from None
    bars = bars.rename(columns={"date": "timestamp"})
    if on_unsorted == "sort" and set(KEYS) <= set(bars.columns):
        bars = bars.sort_values(["symbol", "timestamp"], kind="stable", ignore_index=True)
    if on_duplicate == "keep_last" and set(KEYS) <= set(bars.columns):
        bars = bars.drop_duplicates(list(KEYS), keep="last", ignore_index=True)
    adjusted_close = bars.get("adj_close")
    checked = check_bars(bars, str(path), hint="or set data.on_duplicate / data.on_unsorted")
    if adjusted_close is None:
        return checked
    # The adjusted close must pass for a price too, before the others are scaled by it.
    check_bars(bars.assign(close=adjusted_close).loc[:, list(COLUMNS)], f"{path}: adj_close in place of close")
    return check_bars(adjust(checked.assign(adj_close=adjusted_close.astype("float64").to_numpy())), str(path))
