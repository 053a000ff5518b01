"""The cuts of a timeline, on timelines of several kinds."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from MLOps.config.splits import SplitConfig
from MLOps.data.splits import Splits, purged_folds, split
from MLOps.errors import UserError

CONFIG = SplitConfig(train=0.7, validation=0.15, test=0.15, embargo_bars=5, folds=5)
FIVE_MINUTES = pd.date_range("2024-01-01", periods=4000, freq="5min", tz="UTC")
TIMELINES = {
    "daily": pd.bdate_range("2020-01-01", periods=700, tz="UTC"),
    "hourly": pd.date_range("2024-01-01", periods=2000, freq="h", tz="UTC"),
    "five_minutes_with_outages": FIVE_MINUTES[np.r_[0:900, 1300:2100, 2106:3950]],
}


@pytest.mark.parametrize("timeline", TIMELINES)
@pytest.mark.parametrize("share", [0.1, 0.15, 0.4])
def test_selection_is_the_last_part_of_the_training_span_after_an_embargo(timeline: str, share: float) -> None:
    bars = pd.Series(TIMELINES[timeline])
    config = SplitConfig(train=0.7, validation=0.15, test=0.15, embargo_bars=5, folds=5, selection=share)
    splits = split(bars, config)
    train, fitting, selection = (span.rows(bars) for span in (splits.train, splits.fitting, splits.selection))
    assert not (fitting & selection).any()
    assert (train | fitting | selection == train).all()
    assert selection.sum() == round(train.sum() * share)
    assert np.flatnonzero(selection)[-1] == np.flatnonzero(train)[-1]
    left_out = np.flatnonzero(train & ~fitting & ~selection)
    assert (np.diff(left_out) == 1).all() and len(left_out) == config.embargo_bars
    assert splits.fitting.start == splits.train.start
    assert Splits.from_dict(splits.to_dict()) == splits


def test_what_selects_changes_no_other_span() -> None:
    bars = pd.Series(TIMELINES["daily"])
    half = SplitConfig(train=0.7, validation=0.15, test=0.15, embargo_bars=5, folds=5, selection=0.5)
    one, other = split(bars, CONFIG), split(bars, half)
    assert (one.train, one.validation, one.test) == (other.train, other.validation, other.test)


def test_a_selection_of_too_few_bars_is_told() -> None:
    with pytest.raises(UserError, match=r"at least 20 bars in each span, found 17 for selection \(inside train\)"):
        split(pd.Series(TIMELINES["daily"][:170]), CONFIG)


BARS = pd.Series(pd.date_range("2024-01-01", periods=200, tz="UTC"))
# 200 bars cut at 120 and 160, the training span's last fifth selects; by hand, with five bars of embargo and with none.
BY_HAND = {
    5: {"train": (0, 115), "fitting": (0, 87), "selection": (92, 115), "validation": (120, 155), "test": (160, 200)},
    0: {"train": (0, 120), "fitting": (0, 96), "selection": (96, 120), "validation": (120, 160), "test": (160, 200)},
}
# The last rows of each span whose labels, three bars long, end inside it.
LABELLED_UNTIL = {
    5: {"train": 112, "fitting": 84, "selection": 112, "validation": 152, "test": 197},
    0: {"train": 117, "fitting": 93, "selection": 117, "validation": 157, "test": 197},
}


@pytest.mark.parametrize("embargo_bars", BY_HAND)
def test_the_spans_by_hand(embargo_bars: int) -> None:
    config = SplitConfig(train=0.6, validation=0.2, test=0.2, embargo_bars=embargo_bars, folds=2, selection=0.2)
    # A second symbol that lacks bars, and rows in another order: the market's timeline is cut.
    late = BARS[BARS.index % 3 == 0]
    splits = split(pd.concat([BARS, late])[::-1], config)
    labels = pd.DataFrame({"timestamp": BARS, "label_end": BARS.shift(-3)})
    for name, (start, end) in BY_HAND[embargo_bars].items():
        span = getattr(splits, name)
        assert np.flatnonzero(span.rows(BARS)).tolist() == list(range(start, end)), name
        learnt = np.flatnonzero(span.labelled(labels)).tolist()
        assert learnt == list(range(start, LABELLED_UNTIL[embargo_bars][name])), name
        assert span.start == BARS[start]
        assert span.end == (BARS[end] if end < 200 else BARS[199] + pd.Timedelta(microseconds=1))


@pytest.mark.parametrize(
    ("bars", "config", "words"),
    [
        (200, {"train": 0.85, "validation": 0.05, "test": 0.1}, "found 5 for validation out of 200"),
        (200, {"train": 0.75, "validation": 0.2, "test": 0.05}, "found 10 for test out of 200"),
        (200, {"train": 0.1, "validation": 0.5, "test": 0.4}, "found 15 for train out of 200"),
        (200, {"train": 0.6, "validation": 0.2, "test": 0.2, "selection": 0.8}, r"found 18 for fitting \(inside train"),
        (4, {"train": 0.6, "validation": 0.2, "test": 0.2}, "found 0 for train out of 4"),
    ],
)
def test_a_span_of_too_few_bars_is_named_with_its_number(bars: int, config: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        split(BARS[:bars], replace(CONFIG, **config, folds=2))


def folds_of(ends: list[int], embargo_bars: int, symbols: int = 1) -> list[tuple[list[int], list[int]]]:
    """Three folds of rows whose labels end at the bars `ends`, the same for each symbol."""
    config = SplitConfig(train=0.6, validation=0.2, test=0.2, embargo_bars=embargo_bars, folds=3)
    starts = pd.concat([BARS[: len(ends)]] * symbols, ignore_index=True)
    label_ends = pd.concat([BARS[ends]] * symbols, ignore_index=True)
    return [(learn.tolist(), held.tolist()) for learn, held in purged_folds(starts, label_ends, config)]


TWO_AHEAD = [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 11, 11]


def test_the_folds_by_hand() -> None:
    # Labels look two bars ahead. The first block's last label ends at bar 5, the second's at bar 9.
    assert folds_of(TWO_AHEAD, embargo_bars=1) == [
        ([7, 8, 9, 10, 11], [0, 1, 2, 3]),
        ([0, 1, 11], [4, 5, 6, 7]),
        ([0, 1, 2, 3, 4, 5], [8, 9, 10, 11]),
    ]
    assert folds_of(TWO_AHEAD, embargo_bars=0) == [
        ([6, 7, 8, 9, 10, 11], [0, 1, 2, 3]),
        ([0, 1, 10, 11], [4, 5, 6, 7]),
        ([0, 1, 2, 3, 4, 5], [8, 9, 10, 11]),
    ]
    # Labels that look at their own bar alone overlap nothing, so only the embargo is left out.
    assert folds_of(list(range(12)), embargo_bars=2) == [
        ([6, 7, 8, 9, 10, 11], [0, 1, 2, 3]),
        ([0, 1, 2, 3, 10, 11], [4, 5, 6, 7]),
        ([0, 1, 2, 3, 4, 5, 6, 7], [8, 9, 10, 11]),
    ]


def test_one_long_label_purges_as_far_as_it_looks() -> None:
    ends = list(range(12))
    ends[1] = 9
    assert folds_of(ends, embargo_bars=0) == [
        ([10, 11], [0, 1, 2, 3]),  # held out, it is seen until bar 9
        ([0, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7]),  # it reaches into these
        ([0, 2, 3, 4, 5, 6, 7], [8, 9, 10, 11]),
    ]


def test_all_symbols_of_a_bar_are_held_out_together() -> None:
    one, two = folds_of(TWO_AHEAD, 1), folds_of(TWO_AHEAD, 1, symbols=2)
    for (learn, held), (learn_two, held_two) in zip(one, two, strict=True):
        assert learn_two == [*learn, *(row + 12 for row in learn)]
        assert held_two == [*held, *(row + 12 for row in held)]


@pytest.mark.parametrize("timeline", TIMELINES)
def test_days_cut_where_their_first_bars_are(timeline: str) -> None:
    bars = pd.Series(TIMELINES[timeline])
    days = bars.dt.normalize()
    cut, test = (days[round(len(bars) * share)] for share in (0.6, 0.8))
    given: dict[str, Any] = {"validation_start": str(cut.date()), "test_start": str(test.date())}
    splits = split(bars, SplitConfig(**given, embargo_bars=5, folds=5))
    assert splits.validation.start == bars[days == cut].iloc[0]
    assert splits.test.start == bars[days == test].iloc[0]
    # The same cuts by their shares give the same spans.
    places = [int((bars < place).sum()) / len(bars) for place in (splits.validation.start, splits.test.start)]
    shares: dict[str, Any] = {"train": places[0], "validation": places[1] - places[0], "test": 1 - places[1]}
    assert split(bars, replace(CONFIG, **shares)) == splits
    with pytest.raises(UserError, match=r"splits\.test_start: expected a day .* no later than .* found 2040-01-01"):
        split(bars, SplitConfig(**{**given, "test_start": "2040-01-01"}, embargo_bars=5, folds=5))
