"""Read tables from CSV files in their usual variants, Parquet and Feather; column names are left as they are."""

import zlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa

from MLOps.errors import UserError

SUFFIXES = (".csv", ".csv.gz", ".txt", ".tsv", ".parquet", ".pq", ".feather", ".arrow")
# Cells read as missing, except in columns of text, where NA and NULL may be tickers.
NO_VALUE = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip


def read_table(path: Path, is_text: Callable[[str], bool] = lambda _: False) -> pd.DataFrame:
    """Read the file unchanged. CSV columns for which `is_text` is true are read as text, "" for empty cells.

    Raises:
        UserError: the file is missing, empty, or not readable in the format of its suffix.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; correct its path in params.yaml")
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
        raise UserError(f"{path}: expected a header and rows, found an empty file; add at least one row") from None
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
    """The separator (comma, semicolon or tab) that splits the header into the most columns, and these columns."""
    headers = {
        separator: list(pd.read_csv(path, sep=separator, nrows=0, encoding="utf-8-sig").columns) for separator in ",;\t"
    }
    return max(headers.items(), key=lambda item: len(item[1]))
