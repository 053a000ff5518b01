"""Look-ahead test: past values must not change when future data change.

It tests any function from bars to a table by its output alone: features, labels, scaled inputs, forecasts or
observations. Data that are joined to bars, such as sentiment, are tested by corrupting those data. `docs/features.md`
shows how to test a new feature.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from MLOps.data.bars import KEYS
from MLOps.errors import UserError

Compute = Callable[[pd.DataFrame], pd.DataFrame]


def _truncated(bars: pd.DataFrame, future: np.ndarray, _generator: np.random.Generator) -> pd.DataFrame:
    return bars[~future].reset_index(drop=True)


def _unknown(bars: pd.DataFrame, future: np.ndarray, _generator: np.random.Generator) -> pd.DataFrame:
    return _replaced(bars, future, lambda values: np.full_like(values, np.nan))


def _scaled(bars: pd.DataFrame, future: np.ndarray, _generator: np.random.Generator) -> pd.DataFrame:
    return _replaced(bars, future, lambda values: values * 10)


def _shuffled(bars: pd.DataFrame, future: np.ndarray, generator: np.random.Generator) -> pd.DataFrame:
    """Permute whole rows, also across symbols, so that every bar remains plausible."""
    return _replaced(bars, future, generator.permutation)


def _replaced(bars: pd.DataFrame, rows: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> pd.DataFrame:
    names = [name for name in bars.columns if pd.api.types.is_numeric_dtype(bars[name])]
    values = bars[names].to_numpy(dtype=np.float64, copy=True)
    values[rows] = change(values[rows])
    return bars.drop(columns=names).assign(**dict(zip(names, values.T, strict=True)))


CORRUPTIONS: dict[str, Callable[[pd.DataFrame, np.ndarray, np.random.Generator], pd.DataFrame]] = {
    "truncate": _truncated,
    "nan": _unknown,
    "scale": _scaled,
    "shuffle": _shuffled,
}


@dataclass(frozen=True)
class Leak:
    """A column whose past values changed: at how many cut-offs, and the first row affected.

    `corruption` is the change made to the bars after the cut-off (a key of CORRUPTIONS), or "drop the history".
    """

    column: str
    corruption: str
    cutoffs: int
    symbol: str
    timestamp: pd.Timestamp


def draw_cutoffs(bars: pd.DataFrame, count: int, seed: int = 0) -> list[pd.Timestamp]:
    """Draw `count` distinct timestamps of `bars`, in order, never the last one, which has no future.

    The first bar of every symbol is included, since only there backward filling of a warm-up is sure to show.

    Raises:
        UserError: `bars` have too few timestamps.
    """
    distinct = np.unique(bars["timestamp"].dt.tz_localize(None).to_numpy())[:-1]
    if len(distinct) < count:
        raise UserError(
            f"cut-offs: expected at least {count} timestamps before the last, found {len(distinct)}; add bars"
        )
    births = bars.groupby("symbol")["timestamp"].min().dt.tz_localize(None).to_numpy()
    starts = np.intersect1d(births, distinct)[:count]
    others = np.setdiff1d(distinct, starts)
    drawn = np.random.default_rng(seed).choice(others, count - len(starts), replace=False)
    return [pd.Timestamp(stamp, tz="UTC") for stamp in np.sort(np.concatenate([starts, drawn]))]


def find_leaks(
    compute: Compute,
    bars: pd.DataFrame,
    cutoffs: Iterable[pd.Timestamp],
    known_at: str = "timestamp",
    corruptions: Iterable[str] = tuple(CORRUPTIONS),
    seed: int = 0,
    happened_at: str = "timestamp",
) -> list[Leak]:
    """Apply each corruption to the rows after each cut-off and require bit-equal values known by the cut-off.

    Args:
        compute: maps bars, or items that are joined to bars, to a table with the bars' keys and any further columns;
            rows may be missing. It must accept NaN in future rows.
        bars: in contract form; or the items.
        cutoffs: timestamps; rows after a cut-off are its future.
        known_at: the column of the result with the time at which a row's values are known: "label_end" for labels,
            the close time for data joined to bars.
        corruptions: keys of CORRUPTIONS.
        happened_at: the column of `bars` that decides which rows are future: for items the time of publication.

    Returns:
        One leak for each column and corruption that changed a past value; empty for a causal function.
    """
    cutoffs = list(cutoffs)
    reference = compute(bars)
    generator = np.random.default_rng(seed)
    seen = _Seen()
    for corruption in corruptions:
        for cutoff in cutoffs:
            future = (bars[happened_at] > cutoff).to_numpy()
            answer = compute(CORRUPTIONS[corruption](bars, future, generator))
            known = (reference["timestamp"] <= cutoff) & (reference[known_at] <= cutoff)
            seen.compare(corruption, reference, answer, known.to_numpy(), cutoff)
    return seen.leaks()


def find_warmup_breaks(
    compute: Compute, bars: pd.DataFrame, warmup_bars: int, cutoffs: Iterable[pd.Timestamp]
) -> list[Leak]:
    """Keep only each symbol's last `warmup_bars` bars up to each cut-off and require bit-equal values at the cut-off.

    Returns:
        One leak for each column that needs more bars; serving would compute wrong values of it.
    """
    reference = compute(bars)
    stamps = bars["timestamp"].to_numpy()
    lives = [np.flatnonzero(bars["symbol"] == symbol) for symbol in bars["symbol"].unique()]
    seen = _Seen()
    for cutoff in cutoffs:
        pasts = [rows[stamps[rows] <= cutoff] for rows in lives]
        kept = np.concatenate([rows[-warmup_bars:] for rows in pasts])
        answer = compute(bars.iloc[kept].reset_index(drop=True))
        short = bars["symbol"].iloc[[rows[0] for rows in pasts if 0 < len(rows) < warmup_bars]]
        known = (reference["timestamp"] == cutoff) & ~reference["symbol"].isin(short)
        seen.compare("drop the history", reference, answer, known.to_numpy(), cutoff)
    return seen.leaks()


class _Seen:
    """Leaks by column and corruption."""

    def __init__(self) -> None:
        self._leaks: dict[tuple[str, str], Leak] = {}

    def compare(
        self, corruption: str, reference: pd.DataFrame, answer: pd.DataFrame, known: np.ndarray, cutoff: pd.Timestamp
    ) -> None:
        expected = reference[known]
        # The other rows are not compared.
        answer = answer[answer["timestamp"].between(expected["timestamp"].min(), cutoff)]
        order = _places(expected, answer)
        self._note("(rows)", corruption, expected, order < 0)
        expected, found = expected[order >= 0], answer.iloc[order[order >= 0]]
        dtypes = reference.drop(columns=list(KEYS)).dtypes
        for kind in dtypes.unique():
            names = list(dtypes.index[dtypes == kind])
            moved = ~_same_bits(expected[names].to_numpy(), found[names].to_numpy())
            for number in np.flatnonzero(moved.any(axis=0)):
                self._note(names[number], corruption, expected, moved[:, number])

    def leaks(self) -> list[Leak]:
        return list(self._leaks.values())

    def _note(self, column: str, corruption: str, rows: pd.DataFrame, moved: np.ndarray) -> None:
        if not moved.any():
            return
        first = rows.iloc[int(np.argmax(moved))]
        earlier = self._leaks.get((column, corruption))
        self._leaks[column, corruption] = Leak(
            column,
            corruption,
            cutoffs=1 + (earlier.cutoffs if earlier else 0),
            symbol=earlier.symbol if earlier else str(first["symbol"]),
            timestamp=earlier.timestamp if earlier else first["timestamp"],
        )


def _places(wanted: pd.DataFrame, table: pd.DataFrame) -> np.ndarray:
    """The row number in `table` of each row of `wanted`, by key; -1 if absent."""
    if len(wanted) == len(table) and all(wanted[key].array.equals(table[key].array) for key in KEYS):
        return np.arange(len(wanted))
    keys = list(KEYS)
    return pd.MultiIndex.from_frame(table[keys]).get_indexer(pd.MultiIndex.from_frame(wanted[keys]))


def _same_bits(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether the elements are bit-equal; any two NaNs count as equal."""
    if a.dtype != b.dtype and {a.dtype.kind, b.dtype.kind} <= set("biuf"):
        # pandas turns integer columns into floats if a future value is NaN.
        a, b = a.astype(np.float64), b.astype(np.float64)
    if a.dtype.kind != "f":
        return (a == b) | (pd.isna(a) & pd.isna(b))
    bits = np.dtype(f"i{a.dtype.itemsize}")
    return (np.ascontiguousarray(a).view(bits) == np.ascontiguousarray(b).view(bits)) | (np.isnan(a) & np.isnan(b))
