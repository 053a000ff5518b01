"""The windows of a walk-forward evaluation, on timelines of several kinds."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from MLOps.config.splits import SplitConfig
from MLOps.config.walk_forward import WalkForwardConfig
from MLOps.data.settle import require_history
from MLOps.data.splits import LearningSplits, split
from MLOps.data.walk_forward import Window, refit_splits, require_refit, require_windows, windows_of
from MLOps.errors import UserError
from tests.data.markets import MARKETS
from tests.data.test_splits import TIMELINES

SPLITS = SplitConfig(train=0.7, validation=0.15, test=0.15, embargo_bars=5, folds=5)
ANCHORED = WalkForwardConfig(windows=3, test_bars=None, training="anchored")
CONFIGS = {
    "anchored": ANCHORED,
    "sliding": replace(ANCHORED, training="sliding"),
    "shorter": replace(ANCHORED, windows=5, test_bars=33),
    "longer": replace(ANCHORED, test_bars=150, training="sliding"),
    "alone": replace(ANCHORED, windows=1),
}


@pytest.mark.parametrize("timeline", TIMELINES)
@pytest.mark.parametrize("name", CONFIGS)
def test_windows_in_order(timeline: str, name: str) -> None:
    config, bars = CONFIGS[name], pd.Series(TIMELINES[timeline])
    windows = windows_of(bars, SPLITS, config)
    assert len(windows) == config.windows
    own = split(bars, SPLITS)
    known = [bars[(bars < window.end).to_numpy()] for window in windows]
    splits = [window.splits(stamps, SPLITS) for window, stamps in zip(windows, known, strict=True)]
    assert (splits[-1].validation, splits[-1].test) == (own.validation, own.test), "the last one is the pipeline"
    if config.training == "anchored":
        assert splits[-1] == own
    # Every bar from the first decision on ends in exactly one window.
    returns = pd.concat([stamps[each.test.rows(stamps)][1:] for stamps, each in zip(known, splits, strict=True)])
    assert returns.tolist() == bars[(bars > splits[0].test.start).to_numpy()].tolist()
    lengths = [int(each.train.rows(bars).sum()) for each in splits]
    for each, stamps in zip(splits, known, strict=True):
        assert each.validation.rows(bars).sum() == own.validation.rows(bars).sum()
        if config.training == "anchored":
            assert each.train.start == bars.iloc[0]
        before = int((each.train.rows(stamps) | each.validation.rows(stamps)).sum()) + 2 * SPLITS.embargo_bars
        assert before == int(((stamps >= each.train.start) & (stamps < each.test.start)).sum())
    if config.training == "sliding":
        assert len(set(lengths)) == 1
    else:
        assert lengths == sorted(set(lengths))
    if config.test_bars:
        assert [each.test.rows(bars).sum() - 1 for each in splits[:-1]] == [config.test_bars] * (config.windows - 1)


@pytest.mark.parametrize("timeline", TIMELINES)
@pytest.mark.parametrize("name", CONFIGS)
def test_a_refit_is_the_window_that_would_follow(timeline: str, name: str) -> None:
    config, bars = CONFIGS[name], pd.Series(TIMELINES[timeline])
    last = windows_of(bars, SPLITS, config)[-1].splits(bars, SPLITS)
    refit = refit_splits(bars, SPLITS, config)
    assert refit.validation.end > bars.max()
    assert refit.validation.rows(bars).sum() == last.validation.rows(bars).sum()
    between = (bars >= refit.train.end) & (bars < refit.validation.start)
    assert between.sum() == SPLITS.embargo_bars
    if config.training == "sliding":
        assert refit.train.rows(bars).sum() == last.train.rows(bars).sum()
        assert refit.train.start > last.train.start
    else:
        assert refit.train.start == bars.min()
        assert refit.train.rows(bars).sum() == last.train.rows(bars).sum() + last.test.rows(bars).sum() + 5


def test_bars_that_are_too_few_for_a_refit_are_told() -> None:
    bars = MARKETS["one symbol"](3)

    def check(spans: LearningSplits) -> None:
        require_history(bars, spans, 10_000, "raw")

    with pytest.raises(
        UserError, match=r"^walk_forward.refit: raw: expected a symbol with at least 10020 bars.*false$"
    ):
        require_refit(bars["timestamp"], SPLITS, ANCHORED, check)
    require_refit(bars["timestamp"], SPLITS, ANCHORED, lambda _: None)


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("training", ["anchored", "sliding"])
def test_too_many_windows_are_refused_with_the_number_that_fits(market: str, training: str) -> None:
    bars, needed = MARKETS[market](3), 60
    step = bars["timestamp"].nunique() // 17

    def check(windows: int) -> None:
        config = WalkForwardConfig(windows=windows, test_bars=step, training=training)  # type: ignore[arg-type]

        def history(window: Window) -> None:
            known = window.known(bars)
            require_history(known, window.splits(known["timestamp"], SPLITS), needed, "raw")

        require_windows(bars["timestamp"], SPLITS, config, history)

    with pytest.raises(UserError, match=rf"expected at most \d+ with test spans of {step} bars, found 50") as told:
        check(50)
    fitting = int(str(told.value).split("expected at most ")[1].split()[0])
    check(fitting)
    with pytest.raises(UserError, match=f"expected at most {fitting} "):
        check(fitting + 1)
    assert str(told.value).count("\n") == 0


def test_bars_that_are_too_few_for_one_window_are_told_as_ever() -> None:
    bars = pd.Series(pd.date_range("2024-01-01", periods=60, tz="UTC"))

    def check(window: Window) -> None:
        window.splits(bars, SPLITS)

    with pytest.raises(UserError, match="splits: expected at least 20 bars in each span"):
        require_windows(bars, SPLITS, ANCHORED, check)


def test_what_a_window_knows_ends_with_it() -> None:
    bars = MARKETS["thirty stocks without volume"](3)
    first, *_ = windows_of(bars["timestamp"], SPLITS, ANCHORED)
    known = first.known(bars)
    assert known["timestamp"].max() < first.end
    assert np.array_equal(known["close"], bars.loc[(bars["timestamp"] < first.end).to_numpy(), "close"])


@pytest.mark.parametrize("timeline", TIMELINES)
@pytest.mark.parametrize("name", CONFIGS)
def test_windows_of_days_are_those_of_the_same_shares(timeline: str, name: str) -> None:
    bars = pd.Series(TIMELINES[timeline])
    days = [str(bars[round(len(bars) * share)].date()) for share in (0.7, 0.85)]
    by_day = SplitConfig(validation_start=days[0], test_start=days[1], embargo_bars=5, folds=5)
    before = [int((bars < pd.Timestamp(day, tz="UTC")).sum()) / len(bars) for day in days]
    by_share = replace(SPLITS, train=before[0], validation=before[1] - before[0], test=1 - before[1])
    config = CONFIGS[name]
    assert windows_of(bars, by_day, config) == windows_of(bars, by_share, config)
