"""`data.source: files`: bars in files of any usual spelling; `csv` is one file that already has the contract's columns.

One file may hold many symbols, or a folder one file a symbol (its name is the symbol's). Columns that mean nothing here
are left out, and named. Order carries no meaning. Timestamps may be text, dates, or epoch seconds, milliseconds,
microseconds or nanoseconds; those without a zone are taken for UTC.
"""

import re
import sys
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from MLOps.config.data import DataConfig
from MLOps.data.adjust import adjust
from MLOps.data.bars import COLUMNS, KEYS, VALUES, check_bars
from MLOps.errors import UserError

# Spellings as they come once they are in lower case and without blanks, points, dashes and underscores. The first one
# that a file has is taken, so that exchange dumps with a date beside their epoch time keep the epoch time.
SPELLINGS: dict[str, tuple[str, ...]] = {
    "timestamp": ("timestamp", "unix", "unixtimestamp", "opentime", "datetime", "date", "time", "dt", "gmttime", "ts"),
    "symbol": ("symbol", "tic", "ticker", "instrument", "asset", "pair", "secid", "name", "code"),
    "open": ("open", "o", "openprice", "1open"),
    "high": ("high", "h", "highprice", "max", "2high"),
    "low": ("low", "l", "lowprice", "min", "3low"),
    "close": ("close", "c", "closeprice", "last", "price", "closelast", "4close"),
    "adj_close": ("adjclose", "adjustedclose", "closeadj", "adjustedcloseprice", "adjprice"),
    "volume": ("volume", "vol", "v", "basevolume", "tradedvolume", "5volume"),
}
SUFFIXES = (".csv", ".csv.gz", ".txt", ".tsv", ".parquet", ".pq", ".feather", ".arrow")
# An epoch number is read by its size: 1e11 seconds is the year 5138, 1e11 milliseconds is 1973.
EPOCH_UNITS = ((1e11, "s"), (1e14, "ms"), (1e17, "us"), (np.inf, "ns"))


def read_files(config: DataConfig, _seed: int) -> pd.DataFrame:
    """The bars under `data.files.path`, a file or a folder, sorted whatever order they came in."""
    path = Path(config.files.path)
    if not path.is_dir():
        return bars_from_table(read_table(path), path, config.on_duplicate, "sort")
    files = sorted(file for file in path.iterdir() if file.name.lower().endswith(SUFFIXES))
    if not files:
        raise UserError(f"{path}: expected files ending in {', '.join(SUFFIXES)}, found none; set data.files.path")
    tables = [bars_from_table(read_table(file), file, config.on_duplicate, "sort") for file in files]
    bars = pd.concat(tables, ignore_index=True).sort_values(["symbol", "timestamp"], kind="stable", ignore_index=True)
    # Each file is in order by itself; that two of them hold the same symbol's bars shows only here.
    return check_bars(bars, str(path), hint="or give each symbol one file")


def read_csv(config: DataConfig, _seed: int) -> pd.DataFrame:
    """The bars in the file `data.csv.path`; its order counts: `data.on_unsorted` says what to do about a wrong one."""
    return bars_from_csv(Path(config.csv.path), config.on_duplicate, config.on_unsorted)


def bars_from_csv(path: Path, on_duplicate: str = "error", on_unsorted: str = "error") -> pd.DataFrame:
    """Bars from the file at `path`; see `bars_from_table`."""
    return bars_from_table(read_table(path), path, on_duplicate, on_unsorted)


def read_table(path: Path) -> pd.DataFrame:
    """The file as it is, its columns under their own names.

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
        codes = {name: "str" for name in header if _plain(name) in SPELLINGS["symbol"]}
        return pd.read_csv(path, sep=separator, encoding="utf-8-sig", dtype=codes, low_memory=False)
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


def _header(path: Path) -> tuple[str, list[str]]:
    """The separator, of comma, semicolon and tab the one that cuts the header in most columns; and those."""
    headers = {
        separator: list(pd.read_csv(path, sep=separator, nrows=0, encoding="utf-8-sig").columns) for separator in ",;\t"
    }
    return max(headers.items(), key=lambda item: len(item[1]))


def _plain(name: object) -> str:
    return re.sub(r"[ ._()-]", "", str(name).lower())


def bars_from_table(table: pd.DataFrame, path: Path, on_duplicate: str, on_unsorted: str) -> pd.DataFrame:
    """Bars from a table of any usual spelling, adjusted where it has an adjusted close.

    Args:
        table: as read.
        path: where it is from: it names the symbol when no column does, and every sentence begins with it.
        on_duplicate: "error", or "keep_last" of a symbol's bars at one timestamp.
        on_unsorted: "error", or "sort" by symbol and timestamp.

    Raises:
        UserError: a column is missing, a cell is no number or no time, or the rows are no bars.
    """
    bars = _spelt(table, path)
    hint = "or set data.on_duplicate / data.on_unsorted"
    if set(COLUMNS) <= set(bars.columns) and len(bars):
        bars = _without_repeated_headers(bars)
        bars["timestamp"] = _times(bars["timestamp"], path)
        for name in (*VALUES, "adj_close"):
            if name in bars.columns:
                bars[name] = _numbers(bars[name], path)
        if on_unsorted == "sort":
            bars = bars.sort_values(["symbol", "timestamp"], kind="stable", ignore_index=True)
        if on_duplicate == "keep_last":
            bars = bars.drop_duplicates(list(KEYS), keep="last", ignore_index=True)
    checked = check_bars(bars, str(path), hint)
    if "adj_close" not in bars.columns:
        return checked
    # The adjusted close must pass for a price too, before the others are scaled by it.
    check_bars(bars.assign(close=bars["adj_close"]).loc[:, list(COLUMNS)], f"{path}: adj_close in place of close")
    return check_bars(adjust(checked.assign(adj_close=bars["adj_close"].astype("float64").to_numpy())), str(path))


def _spelt(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The columns that are known, under their names in the contract; the others are told."""
    plain = {_plain(name): name for name in reversed(table.columns)}
    # Exchanges give volume in several units, the traded one first: "Volume BTC", "Volume USD".
    if volumes := [name for name in table.columns if _plain(name).startswith("volume")]:
        plain.setdefault("volume", volumes[0])
    chosen = {}
    for name, spellings in SPELLINGS.items():
        if found := next((plain[spelling] for spelling in spellings if spelling in plain), None):
            chosen[found] = name
    bars = table.loc[:, list(chosen)].rename(columns=chosen)
    if left_out := [str(name) for name in table.columns if name not in chosen and name != "index"]:
        print(f"{path}: columns left out: {', '.join(left_out)}", file=sys.stderr)
    if "symbol" not in bars.columns:
        bars["symbol"] = path.name.split(".")[0]
    return bars


def _without_repeated_headers(bars: pd.DataFrame) -> pd.DataFrame:
    """Files that were appended to each other carry their header again in the middle."""
    if bars["open"].dtype.kind == "f":
        return bars
    header = bars["open"].astype("str").str.strip().str.lower().isin(SPELLINGS["open"])
    return bars[~header].reset_index(drop=True)


def _numbers(values: pd.Series, path: Path) -> pd.Series:
    """Cells as float64; commas between thousands are taken out where the groups of three show that they are that."""
    if values.dtype.kind in "fiu":
        return values.astype("float64")
    text = values.astype("str").str.strip()
    grouped = text.str.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")
    numbers = pd.to_numeric(text.where(~grouped, text.str.replace(",", "", regex=False)), errors="coerce")
    wrong = numbers.isna() & values.notna() & ~text.str.lower().isin(["nan", "", "null", "none", "na"])
    if wrong.any():
        row = int(np.argmax(wrong))
        raise UserError(
            f"{path}: {values.name} must hold numbers; {int(wrong.sum())} cells are none, first row {row} "
            f"({text.iloc[row]!r}); correct them"
        )
    return numbers.astype("float64")


def _times(values: pd.Series, path: Path) -> pd.Series:
    """Timestamps in UTC."""
    if values.dtype.kind == "M" or isinstance(values.dtype, pd.DatetimeTZDtype):
        return pd.to_datetime(values, utc=True).astype("datetime64[us, UTC]")
    text = values.astype("str").str.strip()
    if values.dtype.kind in "iuf" or text.iloc[0].isdigit():
        numbers = pd.to_numeric(values, errors="coerce")
        # 20240131 is a day, not the 234th of 1970.
        days = numbers.between(19000101, 21001231).all()
        if numbers.notna().all() and not days:
            unit = next(unit for limit, unit in EPOCH_UNITS if float(numbers.abs().max()) < limit)
            return pd.to_datetime(numbers, unit=unit, utc=True).astype("datetime64[us, UTC]")
    try:
        return pd.to_datetime(text, utc=True, format="ISO8601").astype("datetime64[us, UTC]")
    except ValueError:
        pass
    times = pd.to_datetime(text, utc=True, format="mixed", errors="coerce")
    if times.isna().any():
        row = int(np.argmax(times.isna()))
        raise UserError(
            f"{path}: timestamp must be dates, times or epoch numbers; {int(times.isna().sum())} cells are none, first "
            f"row {row} ({text.iloc[row]!r}); correct them"
        )
    _refuse_ambiguous_days(text, path)
    return times.astype("datetime64[us, UTC]")


def _refuse_ambiguous_days(text: pd.Series, path: Path) -> None:
    """Months first is how 03/04/2024 is read; where a day above 12 shows that days come first, the rest was misread."""
    parts = text.str.extract(r"^(\d{1,2})[/.-](\d{1,2})[/.-]\d{4}").astype("float64")
    if (parts[0] > 12).any():
        row = int(np.argmax(parts[0] > 12))
        raise UserError(
            f"{path}: timestamp has the day before the month at row {row} ({text.iloc[row]!r}), which is ambiguous in "
            "other rows; write dates as 2024-01-31"
        )
