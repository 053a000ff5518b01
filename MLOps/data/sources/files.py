"""`data.source: files`: bars in files with any of the usual column names; `csv`: one file with the contract's columns.

A single file may hold many symbols; a folder holds one file per symbol, named after it. Unknown columns are dropped and
listed on standard error. Rows may be in any order. Timestamps may be text, dates, or epoch seconds, milliseconds,
microseconds or nanoseconds; without a time zone they are read as UTC. Lines before the header are skipped.
"""

import difflib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from MLOps.config.data import DataConfig
from MLOps.config.schema import suggest
from MLOps.data.bars import ADJUSTED_CLOSE, KEYS, PRICES, VALUES, VOLUME, check_raw_bars
from MLOps.data.tables import SUFFIXES, read_table
from MLOps.errors import UserError

# Known column names in lower case without punctuation. The first one that a file has is used, so that the epoch time of
# an exchange dump takes precedence over its date.
SPELLINGS: dict[str, tuple[str, ...]] = {
    "timestamp": ("timestamp", "unix", "unixtimestamp", "opentime", "datetime", "date", "time", "dt", "gmttime", "ts"),
    "symbol": ("symbol", "tic", "ticker", "instrument", "asset", "pair", "secid", "name", "code"),
    "open": ("open", "o", "openprice", "1open"),
    "high": ("high", "h", "highprice", "max", "2high"),
    "low": ("low", "l", "lowprice", "min", "3low"),
    "close": ("close", "c", "closeprice", "last", "price", "closelast", "4close"),
    "adj_close": (
        "adjclose",
        "adjustedclose",
        "closeadj",
        "closeadjusted",
        "adjcloseprice",
        "adjustedcloseprice",
        "adjclosingprice",
        "adjustedclosingprice",
        "adjprice",
        "adjustedprice",
        "adjcp",
        "adj",
        "adjusted",
        "5adjustedclose",
    ),
    "volume": ("volume", "vol", "v", "basevolume", "tradedvolume", "5volume", "6volume"),
}
# An unknown column with "close" in its name may be an adjusted close, unless it contains one of these.
NO_CLOSE = ("time", "date", "prev", "change", "percent", "pct", "sma", "ema", "mean", "avg")
MISSPELT = 0.8  # a column at least this similar to a missing one counts as a misspelling of it
# The size of an epoch number gives its unit: 1e11 seconds is the year 5138, 1e11 milliseconds is 1973.
EPOCH_UNITS = ((1e11, "s"), (1e14, "ms"), (1e17, "us"), (np.inf, "ns"))
TWELVE_HOURS = "%Y-%m-%d %I-%p"  # 2019-10-17 09-AM, as in older files of CryptoDataDownload
Columns = Mapping[str, str | None]


@dataclass
class LeftOut:
    """Columns and rows of the files that bars were read from that are not among the bars."""

    columns: dict[str, None] = field(default_factory=dict)  # in the order of their first occurrence
    rows: int = 0
    first_row: str = ""

    def tell(self, path: Path) -> None:
        if self.columns:
            print(f"{path}: columns dropped: {', '.join(self.columns)}", file=sys.stderr)
        if self.rows:
            print(f"{path}: rows without a price dropped: {self.rows}, first {self.first_row}", file=sys.stderr)


def read_files(config: DataConfig, _seed: int) -> pd.DataFrame:
    """The raw bars under `data.files.path`, a file or a folder, sorted."""
    path, left_out = Path(config.files.path), LeftOut()
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.name.lower().endswith(SUFFIXES))
        if not files:
            raise UserError(f"{path}: expected files ending in {', '.join(SUFFIXES)}, found none; set data.files.path")
    options = (config.on_duplicate, "sort", config.on_empty, config.files.columns, left_out)
    tables = [_bars_from_file(file, *options) for file in files]
    left_out.tell(path)
    if len(tables) == 1:
        return tables[0]
    bars = pd.concat(tables, ignore_index=True).sort_values(["symbol", "timestamp"], kind="stable", ignore_index=True)
    # Each file has been checked alone; here duplicates of a symbol's bars across files are found.
    return check_raw_bars(bars, str(path), hint="or give each symbol one file")


def read_csv(config: DataConfig, _seed: int) -> pd.DataFrame:
    """The raw bars in the file `data.csv.path`; `data.on_unsorted` sets how rows out of order are handled."""
    return bars_from_file(Path(config.csv.path), config.on_duplicate, config.on_unsorted, config.on_empty)


def bars_from_file(
    path: Path, on_duplicate: str = "error", on_unsorted: str = "error", on_empty: str = "error"
) -> pd.DataFrame:
    """Raw bars from the file at `path`; see `bars_from_table`."""
    left_out = LeftOut()
    bars = _bars_from_file(path, on_duplicate, on_unsorted, on_empty, {}, left_out)
    left_out.tell(path)
    return bars


def bars_from_table(table: pd.DataFrame, path: Path, on_duplicate: str, on_unsorted: str) -> pd.DataFrame:
    """Raw bars from a table with any of the usual column names.

    Args:
        table: as read.
        path: its file; gives the symbol if no column does, and is the prefix of error messages.
        on_duplicate: "error", or "keep_last" of a symbol's bars at one timestamp.
        on_unsorted: "error", or "sort" by symbol and timestamp.

    Raises:
        UserError: a column is missing, or resembles a contract column without being a known name of it; a cell is not
            a number or a time; or the rows break the contract.
    """
    left_out = LeftOut()
    bars = _bars_from_table(table, path, on_duplicate, on_unsorted, "error", {}, left_out)
    left_out.tell(path)
    return bars


def _bars_from_file(
    path: Path, on_duplicate: str, on_unsorted: str, on_empty: str, columns: Columns, left_out: LeftOut
) -> pd.DataFrame:
    table = read_table(path, lambda name: _plain(name) in SPELLINGS["symbol"] or columns.get(name) == "symbol")
    return _bars_from_table(table, path, on_duplicate, on_unsorted, on_empty, columns, left_out)


def _bars_from_table(
    table: pd.DataFrame,
    path: Path,
    on_duplicate: str,
    on_unsorted: str,
    on_empty: str,
    columns: Columns,
    left_out: LeftOut,
) -> pd.DataFrame:
    """See `bars_from_table`.

    Args:
        on_empty: "error", or "drop" the rows in which a price is empty or 0.
        columns: maps the table's column names to those of the contract; None drops a column.
        left_out: is told what is dropped.
    """
    bars = _spelt(table, path, columns, left_out)
    hint = "or set data.on_duplicate / data.on_unsorted"
    if {*KEYS, *PRICES} <= set(bars.columns):
        bars = _without_repeated_headers(bars)
        if len(bars):
            bars["timestamp"] = _times(bars["timestamp"], path)
        for name in (*VALUES, ADJUSTED_CLOSE):
            if name in bars.columns:
                bars[name] = _numbers(bars[name], path)
        if on_empty == "drop":
            bars = _without_empty_prices(bars, left_out)
        if on_unsorted == "sort":
            bars = bars.sort_values(["symbol", "timestamp"], kind="stable", ignore_index=True)
        if on_duplicate == "keep_last":
            bars = bars.drop_duplicates(list(KEYS), keep="last", ignore_index=True)
    return check_raw_bars(bars, str(path), hint, "or set data.on_empty: drop")


def _plain(name: object) -> str:
    return re.sub(r"[ ._()/-]", "", str(name).lower())


def _spelt(table: pd.DataFrame, path: Path, columns: Columns, left_out: LeftOut) -> pd.DataFrame:
    """The known columns, renamed as in the contract; the others are dropped."""
    names = [str(name) for name in table.columns]
    table = table.set_axis(names, axis=1)
    for name in columns:
        if name not in names:
            raise UserError(f"{path}: data.files.columns: no column {name!r}; {suggest(name, names)}")
    chosen = {theirs: ours for theirs, ours in columns.items() if ours is not None}
    free = [name for name in names if name not in columns]
    plain = {_plain(name): name for name in reversed(free)}
    # Exchanges list volume in several units, the traded asset's first: "Volume BTC", "Volume USD".
    if volumes := [name for name in free if _plain(name).startswith(VOLUME)]:
        plain.setdefault(VOLUME, volumes[0])
    for name, spellings in SPELLINGS.items():
        if name not in chosen.values() and (found := next((plain[s] for s in spellings if s in plain), None)):
            chosen[found] = name
    dropped = [name for name in free if name not in chosen and name != "index"]
    _refuse_doubtful(dropped, set(chosen.values()), path)
    left_out.columns.update(dict.fromkeys(dropped))
    bars = table.loc[:, list(chosen)].rename(columns=chosen)
    if "symbol" not in bars.columns:
        suffix = next(suffix for suffix in sorted(SUFFIXES, key=len) if path.name.lower().endswith(suffix))
        bars["symbol"] = path.name[: -len(suffix)]
    return bars


def _refuse_doubtful(left_out: list[str], found: set[str], path: Path) -> None:
    """Refuse to drop a possible price or volume column: returns of silently unadjusted prices would be wrong."""

    def refuse(name: str, meaning: str) -> None:
        raise UserError(
            f"{path}: the column {name!r} looks like {meaning} but is not a known name of it; map it with "
            f"data.files.columns: {{{name}: {meaning}}}, or drop it with {{{name}: null}} (data.source: files)"
        )

    for name in left_out:
        plain = _plain(name)
        like_close = "close" in plain and not any(word in plain for word in NO_CLOSE)
        if ADJUSTED_CLOSE not in found and ("adj" in plain or (like_close and "close" in found)):
            refuse(name, ADJUSTED_CLOSE)
    for wanted in (*PRICES, VOLUME):
        if wanted not in found:
            similar = {
                name: max(
                    difflib.SequenceMatcher(None, _plain(name), s).ratio() for s in SPELLINGS[wanted] if len(s) > 2
                )
                for name in left_out
            }
            name = max(similar, key=lambda name: similar[name], default="")
            if name and (similar[name] >= MISSPELT or (wanted in _plain(name) and wanted != VOLUME)):
                refuse(name, wanted)


def _without_repeated_headers(bars: pd.DataFrame) -> pd.DataFrame:
    """Drop rows that repeat the header, as in concatenated files."""
    if bars["open"].dtype.kind in "fiu":
        return bars
    header = bars["open"].astype("str").str.strip().str.lower().isin(SPELLINGS["open"])
    return bars[~header].reset_index(drop=True)


def _without_empty_prices(bars: pd.DataFrame, left_out: LeftOut) -> pd.DataFrame:
    prices = bars[list(PRICES)]
    empty = (prices.isna() | (prices == 0)).any(axis=1)
    if empty.any():
        first = bars[empty].iloc[0]
        left_out.first_row = left_out.first_row or f"{first['symbol']} {first['timestamp'].isoformat()}"
        left_out.rows += int(empty.sum())
    return bars[~empty].reset_index(drop=True)


def _numbers(values: pd.Series, path: Path) -> pd.Series:
    """Cells as float64; commas are removed if they separate groups of three digits."""
    if values.dtype.kind in "fiu":
        return values.astype("float64")
    text = values.astype("str").str.strip()
    grouped = text.str.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")
    numbers = pd.to_numeric(text.where(~grouped, text.str.replace(",", "", regex=False)), errors="coerce")
    wrong = numbers.isna() & values.notna() & ~text.str.lower().isin(["nan", "", "null", "none", "na"])
    if wrong.any():
        row = int(np.argmax(wrong))
        raise UserError(
            f"{path}: {values.name} must hold numbers; {int(wrong.sum())} cells do not, first row {row} "
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
        # 20240131 is a date, not an epoch time on day 234 of 1970.
        days = numbers.between(19000101, 21001231).all()
        if numbers.notna().all() and not days:
            unit = next(unit for limit, unit in EPOCH_UNITS if float(numbers.abs().max()) < limit)
            return pd.to_datetime(numbers, unit=unit, utc=True).astype("datetime64[us, UTC]")
    try:
        return pd.to_datetime(text, utc=True, format="ISO8601").astype("datetime64[us, UTC]")
    except ValueError:
        pass
    times = pd.to_datetime(text, utc=True, format=TWELVE_HOURS, errors="coerce")
    if times.notna().all():
        return times.astype("datetime64[us, UTC]")
    times = pd.to_datetime(text, utc=True, format="mixed", errors="coerce")
    if times.isna().any():
        row = int(np.argmax(times.isna()))
        raise UserError(
            f"{path}: timestamp must hold dates, times or epoch numbers; {int(times.isna().sum())} cells do not, first "
            f"row {row} ({text.iloc[row]!r}); correct them"
        )
    _refuse_ambiguous_days(text, path)
    return times.astype("datetime64[us, UTC]")


def _refuse_ambiguous_days(text: pd.Series, path: Path) -> None:
    """Refuse dates with the day first: 03/04/2024 is read month first, so a day above 12 there shows a misreading."""
    parts = text.str.extract(r"^(\d{1,2})[/.-](\d{1,2})[/.-]\d{4}").astype("float64")
    if (parts[0] > 12).any():
        row = int(np.argmax(parts[0] > 12))
        raise UserError(
            f"{path}: timestamp has the day before the month at row {row} ({text.iloc[row]!r}), which is ambiguous in "
            "other rows; write dates as 2024-01-31"
        )
