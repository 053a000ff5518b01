"""The bars contract: one long table that every later stage may rely on.

Columns `timestamp` (UTC), `symbol`, `open high low close` (float64, adjusted for corporate actions) and, if every
symbol has it, `volume`; sorted by symbol then timestamp, unique. A symbol may start late, end early, and lack bars that
others have; missing bars are not filled in.

Raw bars are what a source returned, before the quality checks: unadjusted prices, with the column `adj_close` if there
is one. A symbol without volume, or without an adjusted close, has NaN in all of its rows, never in some only.
"""

import numpy as np
import pandas as pd

from MLOps.config.schema import shown
from MLOps.errors import UserError

PRICES = ("open", "high", "low", "close")
VOLUME = "volume"
VALUES = (*PRICES, VOLUME)
KEYS = ("timestamp", "symbol")
COLUMNS = (*KEYS, *VALUES)
ADJUSTED_CLOSE = "adj_close"  # of raw bars
# Optional, both or neither: see MLOps/data/sentiment.py.
SENTIMENT = ("sentiment", "sentiment_items")
# A labelled table has this column, and features instead of prices: see MLOps/data/sources/labelled.py.
TARGET = "target"
ROW_ID = "row_id"  # beside it, the id of each row
TEST_ROWS = "test_rows"  # in its `attrs`: how many of the last rows are the test span, if they were given apart


def given_features(table: pd.DataFrame) -> list[str]:
    """The names of the feature columns of a labelled table."""
    return [str(name) for name in table.columns if name not in (*KEYS, ROW_ID, TARGET)]


def check_bars(bars: pd.DataFrame, where: str, hint: str = "") -> pd.DataFrame:
    """Return the bars in contract form: columns in order, timestamps in UTC, values as float64; sentiment if present.

    Row numbers in messages start at 0, without the header; `hint` ends the message about unsorted or repeated rows.

    Raises:
        UserError: a column is missing, the table is empty, a symbol is empty, a value is not finite, a price not
            positive, a volume negative, or a symbol's rows are unsorted or repeated.
    """
    with_sentiment = set(SENTIMENT) <= set(bars.columns)
    return _checked(bars, (VOLUME, *SENTIMENT) if with_sentiment else (VOLUME,), (), where, hint)


def check_raw_bars(bars: pd.DataFrame, where: str, hint: str = "", empty_hint: str = "") -> pd.DataFrame:
    """The same for raw bars; a volume or adjusted close that is NaN for every symbol is dropped.

    `empty_hint` ends the message about prices that are empty or 0.
    """
    absent = [name for name in (VOLUME, ADJUSTED_CLOSE) if name in bars.columns and bars[name].isna().all()]
    optional = (VOLUME, ADJUSTED_CLOSE)
    return _checked(bars.drop(columns=absent) if len(bars) else bars, optional, optional, where, hint, empty_hint)


def _checked(
    bars: pd.DataFrame,
    optional: tuple[str, ...],
    by_symbol: tuple[str, ...],
    where: str,
    hint: str,
    empty_hint: str = "",
) -> pd.DataFrame:
    """Check the required and the present `optional` columns; `by_symbol` columns may be NaN for a whole symbol."""
    required = (*KEYS, *PRICES)
    if missing := [name for name in required if name not in bars.columns]:
        raise UserError(
            f"{where}: bars need the columns {', '.join(required)}; {', '.join(missing)} missing; add or rename them"
        )
    if bars.empty:
        raise UserError(f"{where}: expected bars, found no row; add at least one")
    values = (*PRICES, *(name for name in optional if name in bars.columns))
    bars = bars.loc[:, [*KEYS, *values]].reset_index(drop=True)
    bars["timestamp"] = _as_utc(bars["timestamp"], where)
    nameless = bars["symbol"].isna() | (bars["symbol"].astype("str").str.strip() == "")
    _refuse(bars, nameless.to_numpy(dtype=bool), where, "symbol must be given", "symbol")
    bars["symbol"] = bars["symbol"].astype("str")
    for name in values:
        try:
            bars[name] = bars[name].astype("float64")
        except (TypeError, ValueError) as error:
            raise UserError(f"{where}: {name} must hold numbers: {error}; correct the rows") from None
        numbers = bars[name].to_numpy()
        wanted = np.ones(len(bars), dtype=bool)
        if name in by_symbol:
            wanted = ~bars[name].isna().groupby(bars["symbol"]).transform("all").to_numpy()
        advice = empty_hint if name in PRICES and (np.isnan(numbers) | (numbers == 0)).any() else ""
        _refuse(bars, wanted & ~np.isfinite(numbers), where, f"{name} must be finite", name, advice)
        if name == VOLUME:
            _refuse(bars, numbers < 0, where, "volume must be 0 or more", name)
        elif name not in SENTIMENT:
            _refuse(bars, numbers <= 0, where, f"{name} must be positive", name, advice)
    symbols, stamps = bars["symbol"], bars["timestamp"].to_numpy(dtype="int64")
    # Compared as they are: an object for each text would take more memory than the table.
    same, lower = (compare(symbols.shift()).to_numpy(dtype=bool) for compare in (symbols.eq, symbols.lt))
    step = np.diff(stamps, prepend=stamps[:1])
    unsorted, repeated = (same & (step < 0)) | lower, same & (step == 0)
    if unsorted.any():
        # Only then may rows be repeated that are no neighbours.
        repeated = bars.duplicated(list(KEYS)).to_numpy()
    _refuse(bars, repeated, where, "a symbol has one bar a timestamp", "timestamp", hint)
    _refuse(bars, unsorted, where, "rows must be sorted by symbol, then timestamp", "timestamp", hint)
    return bars


def _as_utc(stamps: pd.Series, where: str) -> pd.Series:
    try:
        # pandas would silently parse epoch numbers as nanoseconds, so only text and dates are accepted.
        if pd.api.types.is_numeric_dtype(stamps):
            raise ValueError(f"found the number {stamps.iloc[0]!r}")
        if stamps.dtype.kind != "M":
            # pandas reads words such as "now" too.
            texts = (text for text in stamps.to_numpy(dtype=object) if isinstance(text, str))
            if strange := next((text for text in texts if text and not text[0].isdigit()), None):
                raise ValueError(f"found {shown(strange)}")
        stamps = pd.to_datetime(stamps, utc=True, format=None if stamps.dtype.kind == "M" else "ISO8601")
    except (ValueError, TypeError) as error:
        reason = str(error).partition(". ")[0]
        raise UserError(f"{where}: timestamp must be ISO 8601 dates or times: {reason}; correct the rows") from None
    if stamps.isna().any():
        row = int(np.argmax(stamps.isna()))
        raise UserError(f"{where}: timestamp is empty at row {row}; fill or remove it")
    return stamps.astype("datetime64[us, UTC]")


def _refuse(bars: pd.DataFrame, faulty: np.ndarray, where: str, rule: str, column: str, hint: str = "") -> None:
    if not faulty.any():
        return
    row = int(np.argmax(faulty))
    first = bars.iloc[row]
    example = f"{first['symbol']} {first['timestamp'].isoformat()}, {column} {first[column]}"
    raise UserError(
        f"{where}: {rule}; {int(faulty.sum())} rows are not, first row {row} ({example}); "
        f"correct or remove them {hint}".rstrip()
    )
