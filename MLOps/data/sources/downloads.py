"""Incremental downloads: only missing bars are requested, and files are replaced atomically.

They are stored in data/downloads/, outside all stage outputs, because DVC deletes outputs before a stage runs.
"""

import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from MLOps.artifacts import read_table, write_table
from MLOps.data.bars import PRICES
from MLOps.errors import UserError, one_line

DOWNLOADS = Path("data/downloads")
ATTEMPTS = 5
FIRST_WAIT_S = 1.0  # doubled after each failure
# Bars at the end of the stored download that are requested again, to detect a split or a dividend since then.
OVERLAP_BARS = 5
SAME_PRICE = 1e-4  # relative; sources round

Fetch = Callable[[pd.Timestamp, pd.Timestamp], pd.DataFrame]


def extend(path: Path, fetch: Fetch, start: str, end: str, sleep: Callable[[float], None] = time.sleep) -> pd.DataFrame:
    """The bars with start <= timestamp < end, from the file at `path`; missing ones are fetched and stored.

    Args:
        path: one symbol's download, a Parquet file that is created or extended atomically.
        fetch: returns the bars of a span [from, to): `timestamp` in UTC and values, sorted.
        start, end: days, in UTC.
        sleep: waits between attempts.

    Raises:
        UserError: the source fails ATTEMPTS times; earlier downloads are kept.
    """
    first, last = pd.Timestamp(start, tz="UTC"), pd.Timestamp(end, tz="UTC")
    # The downloaded span is stored with the bars, so that days without a bar are not requested again.
    stored = read_table(path) if path.is_file() else None
    if stored is None or stored.attrs["start"] > first.isoformat():
        bars = _tried(fetch, first, last, path, sleep)
    elif stored.attrs["end"] < last.isoformat():
        since = stored["timestamp"].iloc[-OVERLAP_BARS] if len(stored) >= OVERLAP_BARS else first
        fresh = _tried(fetch, since, last, path, sleep)
        if _agree(stored, fresh):
            bars = pd.concat([stored[stored["timestamp"] < since], fresh], ignore_index=True)
        else:
            # Prices have been adjusted since, so the stored ones are on another scale.
            bars = _tried(fetch, first, last, path, sleep)
    else:
        return _between(stored, first, last)
    bars.attrs = {"start": first.isoformat(), "end": last.isoformat()}
    write_table(path, bars)
    return _between(bars, first, last)


def _between(bars: pd.DataFrame, first: pd.Timestamp, last: pd.Timestamp) -> pd.DataFrame:
    return bars[(bars["timestamp"] >= first) & (bars["timestamp"] < last)].reset_index(drop=True)


def _tried(
    fetch: Fetch, first: pd.Timestamp, last: pd.Timestamp, path: Path, sleep: Callable[[float], None]
) -> pd.DataFrame:
    for attempt in range(ATTEMPTS):
        try:
            bars = fetch(first, last)
        except UserError:
            raise
        # Client libraries raise exceptions of any type, and most failures are temporary.
        except Exception as error:
            if attempt == ATTEMPTS - 1:
                raise UserError(
                    f"{path.stem}: the download failed {ATTEMPTS} times, last with {type(error).__name__}: "
                    f"{one_line(error)}; try again later, earlier downloads are kept"
                ) from None
            sleep(FIRST_WAIT_S * 2**attempt)
        else:
            if bars.empty:
                raise UserError(
                    f"{path.stem}: no bars from {first.date()} to {last.date()}; check the symbol and the days"
                )
            return bars
    raise AssertionError("every attempt returns or raises")


def _agree(stored: pd.DataFrame, fresh: pd.DataFrame) -> bool:
    """Whether the bars in both tables have the same prices."""
    columns = [name for name in (*PRICES, "adj_close") if name in stored.columns]
    both = stored.merge(fresh, on="timestamp", suffixes=("", "_fresh"))
    old, new = both[columns].to_numpy(), both[[f"{name}_fresh" for name in columns]].to_numpy()
    return len(both) > 0 and bool((abs(old - new) <= SAME_PRICE * old).all())
