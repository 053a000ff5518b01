"""The cuts of a timeline, on timelines of several kinds."""

import numpy as np
import pandas as pd
import pytest

from MLOps.config.splits import SplitConfig
from MLOps.data.splits import Splits, split
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
