"""The prober finds every planted leak, and none in the catalogue."""

import numpy as np
import pandas as pd
import pytest

from MLOps.data.bars import KEYS
from MLOps.errors import UserError
from MLOps.features.catalogue import CATALOGUE, FAMILIES
from MLOps.features.causality import CORRUPTIONS, draw_cutoffs, find_leaks, find_warmup_breaks
from MLOps.features.pipeline import FeaturePipeline
from tests.features.leaks import LEAKS

# How many times the future is replaced: each costs a computation, so most run with the slow tests.
CUTOFFS = [50, pytest.param(200, marks=pytest.mark.slow)]


@pytest.mark.parametrize("leak", LEAKS)
def test_a_planted_leak_is_found(leak: str, early: pd.DataFrame) -> None:
    assert find_leaks(LEAKS[leak], early, draw_cutoffs(early, 10))


def test_twelve_leaks_are_planted() -> None:
    assert len(LEAKS) == 12


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_each_corruption_alone_finds_the_plainest_leak(corruption: str, early: pd.DataFrame) -> None:
    leaks = find_leaks(LEAKS["next_close"], early, draw_cutoffs(early, 5), corruptions=[corruption])
    assert [(leak.column, leak.corruption, leak.cutoffs) for leak in leaks] == [("value", corruption, 5)]


def test_a_causal_function_is_cleared(early: pd.DataFrame) -> None:
    def range_(bars: pd.DataFrame) -> pd.DataFrame:
        return bars.loc[:, list(KEYS)].assign(range=np.log(bars["high"] / bars["low"]))

    assert find_leaks(range_, early, draw_cutoffs(early, 20)) == []


def test_a_row_that_depends_on_the_future_is_found(early: pd.DataFrame) -> None:
    def rises_only(bars: pd.DataFrame) -> pd.DataFrame:
        rises = bars.groupby("symbol")["close"].shift(-1) > bars["close"]
        return bars.loc[rises, [*KEYS, "close"]]

    assert any(leak.column == "(rows)" for leak in find_leaks(rises_only, early, draw_cutoffs(early, 20)))


@pytest.mark.parametrize("cutoffs", CUTOFFS)
@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_the_whole_catalogue_is_causal(corruption: str, cutoffs: int, early: pd.DataFrame) -> None:
    pipeline = FeaturePipeline.fit(FAMILIES, early)
    after_warmup = early[early.groupby("symbol").cumcount() >= pipeline.warmup_bars]
    drawn = draw_cutoffs(after_warmup, cutoffs)
    assert find_leaks(pipeline.compute, early, drawn, corruptions=[corruption]) == []


@pytest.mark.parametrize("cutoffs", CUTOFFS)
@pytest.mark.parametrize("warmup_bars", sorted({feature.warmup_bars for feature in CATALOGUE.values()}))
def test_history_before_the_warmup_changes_no_bit(warmup_bars: int, cutoffs: int, sample: pd.DataFrame) -> None:
    names = [name for name, feature in CATALOGUE.items() if feature.warmup_bars == warmup_bars]
    bars = sample[sample["symbol"].isin(["AAPL", "MSFT"])].reset_index(drop=True)
    pipeline = FeaturePipeline.fit(names, bars)
    after_warmup = bars[bars.groupby("symbol").cumcount() >= warmup_bars]
    assert find_warmup_breaks(pipeline.compute, bars, warmup_bars, draw_cutoffs(after_warmup, cutoffs)) == []


def test_a_warmup_declared_too_short_is_found(early: pd.DataFrame) -> None:
    def exponential_mean(bars: pd.DataFrame) -> pd.DataFrame:
        means = bars.groupby("symbol", sort=False)["close"].transform(lambda close: close.ewm(span=10).mean())
        return bars.loc[:, list(KEYS)].assign(mean=means.astype("float32"))

    cutoffs = draw_cutoffs(early.tail(100), 20)
    assert find_warmup_breaks(exponential_mean, early, 20, cutoffs)
    assert find_warmup_breaks(exponential_mean, early, 200, cutoffs) == []


def test_more_cutoffs_than_timestamps_are_refused(early: pd.DataFrame) -> None:
    with pytest.raises(UserError, match="at least 1000 timestamps"):
        draw_cutoffs(early, 1000)
