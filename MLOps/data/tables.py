"""Tables in files: CSV in its usual variants, Parquet and Feather, with their columns under their own names."""

import zlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa

from MLOps.errors import UserError

SUFFIXES = (".csv", ".csv.gz", ".txt", ".tsv", ".parquet", ".pq", ".feather", ".arrow")
# What pandas reads as no value. In columns of text these are words: NA and NULL are tickers.
NO_VALUE = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip


def read_table(path: Path, is_text: Callable[[str], bool] = lambda _: False) -> pd.DataFrame:
    """The file as it is. Columns of a CSV file that `is_text` names are text in every cell, "" where it is empty.

    Raises:
        UserError: no such file, not readable as what its name says, or empty.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; set data.files.path or data.csv.path to bars")
    name = path.name.lower()
    if not name.endswith(SUFFIXES):
        raise UserError(f"{path}: expected a name ending in {', '.join(SUFFIXES)}; rename or convert the file")
    try:
        if name.endswith((".parquet", ".pq")):
            return pd.read_parquet(path).reset_index()
        if name.endswith((".feather", ".arrow")):
            return pd.read_feather(path)
        separator, header = _header(path)
        return _read_csv(path, separator, header, is_text)
    except pd.errors.EmptyDataError:
        raise UserError(f"{path}: expected a header and bars, found an empty file; give at least one row") from None
    except (
        pd.errors.ParserError,
        pa.ArrowException,
        UnicodeDecodeError,
        OSError,
        EOFError,
        zlib.error,
        ValueError,
    ) as error:
        raise UserError(f"{path}: not readable: {' '.join(str(error).split())}; correct the file") from None


def _read_csv(path: Path, separator: str, header: list[str], is_text: Callable[[str], bool]) -> pd.DataFrame:
    text = [name for name in header if is_text(name)]
    return pd.read_csv(
        path,
        sep=separator,
        encoding="utf-8-sig",
        dtype=dict.fromkeys(text, "str"),
        keep_default_na=False,
        na_values={name: list(NO_VALUE) for name in header if name not in text},
        low_memory=False,
    )


def _header(path: Path) -> tuple[str, list[str]]:
    """The separator, of comma, semicolon and tab the one that cuts the header in most columns; and those."""
    headers = {
        separator: list(pd.read_csv(path, sep=separator, nrows=0, encoding="utf-8-sig").columns) for separator in ",;\t"
    }
    return max(headers.items(), key=lambda item: len(item[1]))
