"""Read tables from CSV files in their usual variants, Parquet and Feather; column names are left as they are."""

import csv
import gzip
import zlib
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa

from MLOps.decoded_size import check_decoded_size, check_unpacked_size
from MLOps.errors import UserError, one_line

SUFFIXES = (".csv", ".csv.gz", ".txt", ".tsv", ".parquet", ".pq", ".feather", ".arrow")
# Cells read as missing, except in columns of text, where NA and NULL may be tickers.
NO_VALUE = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip
SAMPLED_LINES = 50  # from which the separator and the place of the header are told
# First cells of the three header lines that yfinance writes: the values, the symbols, the name of the rows.
YFINANCE = (("Price",), ("Ticker",), ("Date", "Datetime"))


class Layout(NamedTuple):
    """Where a CSV file has its columns.

    Attributes:
        separator: comma, semicolon or tab, whichever splits most lines into the same number of cells.
        comments: lines before the header.
        header: names of the columns.
        surplus: cells that rows have beyond the header.
        by_symbol: the columns are pairs of a value and a symbol, as yfinance writes them.
    """

    separator: str
    comments: int
    header: list[str]
    surplus: int
    by_symbol: bool


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
            check_decoded_size(path)
            return pd.read_parquet(path).reset_index()
        if name.endswith((".feather", ".arrow")):
            return pd.read_feather(path)
        if name.endswith(".gz"):
            check_unpacked_size(path)
        return _read_csv(path, _layout(path), is_text)
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
        raise UserError(f"{path}: not readable: {one_line(error)}; correct the file") from None


def _read_csv(path: Path, layout: Layout, is_text: Callable[[str], bool]) -> pd.DataFrame:
    if layout.by_symbol:
        wide = pd.read_csv(path, header=[0, 1], index_col=0, encoding="utf-8-sig")
        return wide.rename_axis(index="Date").stack(1, future_stack=True).dropna(how="all").reset_index()
    text = [name for name in layout.header if is_text(name)]
    return pd.read_csv(
        path,
        sep=layout.separator,
        header=layout.comments,
        # Where rows end with a separator, pandas would take their first cell for an index and shift the others.
        index_col=False if layout.surplus else None,
        usecols=layout.header if layout.surplus else None,
        encoding="utf-8-sig",
        dtype=dict.fromkeys(text, "str"),
        keep_default_na=False,
        na_values={name: list(NO_VALUE) for name in layout.header if name not in text},
        low_memory=False,
    )


def _layout(path: Path) -> Layout:
    """The layout of a CSV file, told from its first lines.

    Raises:
        UserError: the rows have more cells than the header.
    """
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
        lines = [line for line in islice(file, SAMPLED_LINES) if line.strip()]
    if not lines:
        raise pd.errors.EmptyDataError
    splits = {separator: [row for row in csv.reader(lines, delimiter=separator) if row] for separator in ",;\t"}
    widths = {separator: Counter(map(len, rows)).most_common(1)[0][0] for separator, rows in splits.items()}
    # Commas within numbers make rows of different widths.
    fitting = {separator: sum(len(row) == widths[separator] for row in rows) for separator, rows in splits.items()}
    separator = max(widths, key=lambda s: (widths[s] > 1, fitting[s], widths[s]))
    rows, width = splits[separator], widths[separator]
    by_symbol = all(row[:1] and row[0] in names for row, names in zip(rows, YFINANCE, strict=False)) and len(rows) > 3
    # A comment has fewer cells than the rows; a header may lack the one of a last, empty column.
    comments = next(number for number, row in enumerate(rows) if len(row) >= width - 1)
    header, data = rows[comments], rows[comments + 1 :]
    surplus = width - len(header) if data else 0
    if surplus > 0 and any(row[-1].strip() for row in data if len(row) == width):
        raise UserError(f"{path}: the header names {len(header)} columns, the rows have {width}; name every column")
    names = list(pd.read_csv(path, sep=separator, header=comments, nrows=0, encoding="utf-8-sig").columns)
    return Layout(separator, comments, names, max(surplus, 0), by_symbol)
