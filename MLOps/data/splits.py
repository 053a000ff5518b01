"""Time-ordered train, validation and test spans and the split inside the training span, purged and embargoed.

A row's interval runs from its bar's timestamp to the time up to which its label looks ahead (`label_end`). Two rows
overlap if their intervals do. Method: López de Prado, Advances in Financial Machine Learning (2018), chapter 7.
"""

from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
import pandas as pd

from MLOps.config.splits import SplitConfig
from MLOps.errors import UserError

MIN_BARS = 20  # in each span; fewer allow no estimate
TICK = pd.Timedelta(microseconds=1)  # from a last timestamp to the end of its span


@dataclass(frozen=True)
class Span:
    """The bars with start <= timestamp < end."""

    start: pd.Timestamp
    end: pd.Timestamp

    def rows(self, timestamps: pd.Series) -> np.ndarray:
        """Mask of the rows whose timestamp lies in the span."""
        return ((timestamps >= self.start) & (timestamps < self.end)).to_numpy()

    def labelled(self, labels: pd.DataFrame) -> np.ndarray:
        """Mask of the rows for training or evaluation: the bar and everything its label looks at lie in the span."""
        return self.rows(labels["timestamp"]) & (labels["label_end"] < self.end).to_numpy()


@dataclass(frozen=True)
class LearningSplits:
    """What models learn and are chosen on: train and validation span in order; inside the training span first
    `fitting`, then `selection`.

    A predictor chooses its hyperparameters by fitting on `fitting` and measuring on `selection`, then trains on the
    whole training span: nothing is chosen on the rows that evaluate it. An embargo precedes each later span.
    """

    train: Span
    fitting: Span
    selection: Span
    validation: Span

    def to_dict(self) -> dict[str, dict[str, str]]:
        return {
            name: {"start": span["start"].isoformat(), "end": span["end"].isoformat()}
            for name, span in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: dict[str, dict[str, str]]) -> Self:
        return cls(
            **{name: Span(pd.Timestamp(span["start"]), pd.Timestamp(span["end"])) for name, span in values.items()}
        )


@dataclass(frozen=True)
class Splits(LearningSplits):
    """The spans with the test span, which comes last and judges; an embargo precedes it too."""

    test: Span


def split(timestamps: pd.Series, config: SplitConfig, test_rows: int = 0) -> Splits:
    """Split the distinct timestamps by the configured shares or days, and the training span by its own share.

    Args:
        test_rows: if not 0, this many last timestamps are the test span, and the configured shares of training and
            validation divide the others.

    Raises:
        UserError: the timeline is too short for one of the spans.
    """
    timeline = timeline_of(timestamps)
    validation, test = cuts(timeline, config)
    if test_rows:
        validation, test = round(validation / test * (len(timeline) - test_rows)), len(timeline) - test_rows
    return split_at(timeline, 0, validation, test, config)


def timeline_of(timestamps: pd.Series) -> pd.DatetimeIndex:
    """The distinct timestamps, ascending."""
    return pd.DatetimeIndex(timestamps.unique()).sort_values()


def cuts(timeline: pd.DatetimeIndex, config: SplitConfig) -> tuple[int, int]:
    """At which timestamps of the timeline the validation and the test span begin.

    Raises:
        UserError: a configured day lies outside the timeline.
    """
    if config.train is not None and config.validation is not None:
        bars = len(timeline)
        return round(bars * config.train), round(bars * (config.train + config.validation))
    validation, test = (_place_of(timeline, key, config) for key in ("validation_start", "test_start"))
    return validation, test


def _place_of(timeline: pd.DatetimeIndex, key: str, config: SplitConfig) -> int:
    """The first timestamp of the day that `key` configures, or after it."""
    day = pd.Timestamp(getattr(config, key), tz="UTC")
    if not timeline[0] < day <= timeline[-1]:
        raise UserError(
            f"splits.{key}: expected a day after the first bar of {timeline[0].date()} and no later than the last of "
            f"{timeline[-1].date()}, found {day.date()}; change it"
        )
    return int(timeline.searchsorted(day))


def split_at(timeline: pd.DatetimeIndex, start: int, validation: int, test: int, config: SplitConfig) -> Splits:
    """The spans of a timeline whose training, validation and test spans begin at these of its timestamps.

    The embargo is taken from the end of the earlier span, so that each later span begins at its cut. With the purge of
    `Span.labelled`, at least `embargo_bars` bars lie between the last bar that a label of one span looks at and the
    first bar of the next.

    Raises:
        UserError: the timeline is too short for one of the spans.
    """
    test_bars = len(timeline) - test
    spans = _learning_spans(timeline, start, validation, test - config.embargo_bars, config, {"test": test_bars})
    return Splits(**spans, test=_span(timeline, test, len(timeline)))


def split_without_test(timeline: pd.DatetimeIndex, start: int, validation: int, config: SplitConfig) -> LearningSplits:
    """Like `split_at`, with a validation span that lasts to the end of the timeline.

    Raises:
        UserError: the timeline is too short for one of the spans.
    """
    return LearningSplits(**_learning_spans(timeline, start, validation, len(timeline), config, {}))


def _learning_spans(
    timeline: pd.DatetimeIndex,
    start: int,
    validation: int,
    end: int,
    config: SplitConfig,
    further_lengths: dict[str, int],
) -> dict[str, Span]:
    """The spans of `LearningSplits`, the validation span up to `end`; `further_lengths` are checked too."""
    gap = config.embargo_bars
    train = validation - gap
    selection = train - round((train - start) * config.selection)
    lengths = {
        "train": train - start,
        "fitting (inside train)": selection - gap - start,
        "selection (inside train)": train - selection,
        "validation": end - validation,
        **further_lengths,
    }
    for name, length in lengths.items():
        if length < MIN_BARS:
            raise UserError(
                f"splits: expected at least {MIN_BARS} bars in each span, found {max(length, 0)} for {name} out of "
                f"{len(timeline)} timestamps; add bars or change the spans"
            )
    return {
        "train": _span(timeline, start, train),
        "fitting": _span(timeline, start, selection - gap),
        "selection": _span(timeline, selection, train),
        "validation": _span(timeline, validation, end),
    }


def _span(timeline: pd.DatetimeIndex, first: int, end: int) -> Span:
    """From the timestamp number `first` to before number `end`; the last span ends after the last timestamp."""
    return Span(timeline[first], timeline[end] if end < len(timeline) else timeline[-1] + TICK)


def purged_folds(
    timestamps: pd.Series, label_ends: pd.Series, config: SplitConfig
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Purged and embargoed cross-validation: `config.folds` blocks of time, each held out once.

    Args:
        timestamps: (n,) the timestamp of each row's bar.
        label_ends: (n,) the time up to which each row's label looks ahead.

    Returns:
        For each fold the training row numbers and the held-out row numbers. A row is for training if its interval
        [timestamp, label_end] overlaps that of no held-out row, and it does not lie in the `embargo_bars` bars that
        follow the last held-out label.
    """
    starts, ends = timestamps.dt.tz_convert(None).to_numpy(), label_ends.dt.tz_convert(None).to_numpy()
    timeline = np.unique(starts)
    folds = []
    for block in np.array_split(timeline, config.folds):
        held_out = (starts >= block[0]) & (starts <= block[-1])
        last_seen = ends[held_out].max()
        # The embargo counts distinct timestamps, so it ends that many timestamps later.
        resume = np.searchsorted(timeline, last_seen, side="right") + config.embargo_bars
        after = starts >= timeline[resume] if resume < len(timeline) else np.zeros(len(starts), dtype=bool)
        before = ends < block[0]
        folds.append((np.flatnonzero(before | after), np.flatnonzero(held_out)))
    return folds
