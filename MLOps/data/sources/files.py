"""`data.source: files`: bars in files of any usual spelling; `csv` is one file that already has the contract's columns.

One file may hold many symbols, or a folder one file a symbol (its name is the symbol's). Columns that mean nothing here
are left out, and named. Order carries no meaning. Timestamps may be text, dates, or epoch seconds, milliseconds,
microseconds or nanoseconds; those without a zone are taken for UTC.
"""

import difflib
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from MLOps.config.data import DataConfig
from MLOps.config.schema import suggest
from MLOps.data.bars import ADJUSTED_CLOSE, KEYS, PRICES, VALUES, VOLUME, check_raw_bars
from MLOps.data.tables import SUFFIXES, read_table
from MLOps.errors import UserError

# Spellings as they come once they are in lower case and without punctuation. The first one that a file has is taken, so
# that exchange dumps with a date beside their epoch time keep the epoch time.
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
# A column with "close" in its name that is no spelling above may be an adjusted close, unless it is one of these.
NO_CLOSE = ("time", "date", "prev", "change", "percent", "pct")
MISSPELT = 0.8  # similarity from which on a column is taken for a misspelling of one that lacks
# An epoch number is read by its size: 1e11 seconds is the year 5138, 1e11 milliseconds is 1973.
EPOCH_UNITS = ((1e11, "s"), (1e14, "ms"), (1e17, "us"), (np.inf, "ns"))
Columns = Mapping[str, str | None]


def read_files(config: DataConfig, _seed: int) -> pd.DataFrame:
    """The raw bars under `data.files.path`, a file or a folder, sorted whatever order they came in."""
    path, columns = Path(config.files.path), config.files.columns
    if not path.is_dir():
        return bars_from_file(path, config.on_duplicate, "sort", columns)
    files = sorted(file for file in path.iterdir() if file.name.lower().endswith(SUFFIXES))
    if not files:
        raise UserError(f"{path}: expected files ending in {', '.join(SUFFIXES)}, found none; set data.files.path")
    tables = [bars_from_file(file, config.on_duplicate, "sort", columns) for file in files]
    bars = pd.concat(tables, ignore_index=True).sort_values(["symbol", "timestamp"], kind="stable", ignore_index=True)
    # Each file is in order by itself; that two of them hold the same symbol's bars shows only here.
    return check_raw_bars(bars, str(path), hint="or give each symbol one file")


def read_csv(config: DataConfig, _seed: int) -> pd.DataFrame:
    """The raw bars in the file `data.csv.path`; its order counts, and `data.on_unsorted` says what of a wrong one."""
    return bars_from_file(Path(config.csv.path), config.on_duplicate, config.on_unsorted)


def bars_from_file(
    path: Path, on_duplicate: str = "error", on_unsorted: str = "error", columns: Columns | None = None
) -> pd.DataFrame:
    """Raw bars from the file at `path`; see `bars_from_table`."""
    columns = columns or {}
    table = read_table(path, lambda name: _plain(name) in SPELLINGS["symbol"] or columns.get(name) == "symbol")
    return bars_from_table(table, path, on_duplicate, on_unsorted, columns)


def bars_from_table(
    table: pd.DataFrame, path: Path, on_duplicate: str, on_unsorted: str, columns: Columns | None = None
) -> pd.DataFrame:
    """Raw bars from a table of any usual spelling.

    Args:
        table: as read.
        path: where it is from: it names the symbol when no column does, and every sentence begins with it.
        on_duplicate: "error", or "keep_last" of a symbol's bars at one timestamp.
        on_unsorted: "error", or "sort" by symbol and timestamp.
        columns: names in the contract by the table's own, None for a column to leave out.

    Raises:
        UserError: a column is missing, or looks like one of the contract's and is none of its spellings; a cell is no
            number or no time; or the rows are no bars.
    """
    bars = _spelt(table, path, columns or {})
    hint = "or set data.on_duplicate / data.on_unsorted"
    if {*KEYS, *PRICES} <= set(bars.columns):
        bars = _without_repeated_headers(bars)
        if len(bars):
            bars["timestamp"] = _times(bars["timestamp"], path)
        for name in (*VALUES, ADJUSTED_CLOSE):
            if name in bars.columns:
                bars[name] = _numbers(bars[name], path)
        if on_unsorted == "sort":
            bars = bars.sort_values(["symbol", "timestamp"], kind="stable", ignore_index=True)
        if on_duplicate == "keep_last":
            bars = bars.drop_duplicates(list(KEYS), keep="last", ignore_index=True)
    return check_raw_bars(bars, str(path), hint)


def _plain(name: object) -> str:
    return re.sub(r"[ ._()/-]", "", str(name).lower())


def _spelt(table: pd.DataFrame, path: Path, columns: Columns) -> pd.DataFrame:
    """The columns that are known, under their names in the contract; the others are told."""
    names = [str(name) for name in table.columns]
    table = table.set_axis(names, axis=1)
    for name in columns:
        if name not in names:
            raise UserError(f"{path}: data.files.columns: no column {name!r}; {suggest(name, names)}")
    chosen = {theirs: ours for theirs, ours in columns.items() if ours is not None}
    free = [name for name in names if name not in columns]
    plain = {_plain(name): name for name in reversed(free)}
    # Exchanges give volume in several units, the traded one first: "Volume BTC", "Volume USD".
    if volumes := [name for name in free if _plain(name).startswith(VOLUME)]:
        plain.setdefault(VOLUME, volumes[0])
    for name, spellings in SPELLINGS.items():
        if name not in chosen.values() and (found := next((plain[s] for s in spellings if s in plain), None)):
            chosen[found] = name
    left_out = [name for name in free if name not in chosen and name != "index"]
    _refuse_doubtful(left_out, set(chosen.values()), path)
    if left_out:
        print(f"{path}: columns left out: {', '.join(left_out)}", file=sys.stderr)
    bars = table.loc[:, list(chosen)].rename(columns=chosen)
    if "symbol" not in bars.columns:
        suffix = next(suffix for suffix in sorted(SUFFIXES, key=len) if path.name.lower().endswith(suffix))
        bars["symbol"] = path.name[: -len(suffix)]
    return bars


def _refuse_doubtful(left_out: list[str], found: set[str], path: Path) -> None:
    """Refuse to leave out what may be a price or a volume: prices that are silently unadjusted make false returns."""

    def refuse(name: str, meaning: str) -> None:
        raise UserError(
            f"{path}: the column {name!r} looks like {meaning} and is none of its known spellings; name it in "
            f"data.files.columns: {{{name}: {meaning}}}, or leave it out by {{{name}: null}} (data.source: files)"
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
    """Files that were appended to each other carry their header again in the middle."""
    if bars["open"].dtype.kind in "fiu":
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
