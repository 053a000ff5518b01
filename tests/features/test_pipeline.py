"""The one function that turns bars into features."""

import numpy as np
import pandas as pd
import pytest

from MLOps.data.bars import SENTIMENT
from MLOps.errors import UserError
from MLOps.features.catalogue import CATALOGUE, FAMILIES
from MLOps.features.pipeline import FeaturePipeline, rows_by_symbol
from MLOps.features.scaler import Scaler
from tests.data.markets import MARKETS


def test_threads_change_no_bit(early: pd.DataFrame) -> None:
    pipeline = FeaturePipeline.fit(FAMILIES, early)
    pd.testing.assert_frame_equal(pipeline.compute(early, 1), pipeline.compute(early, 2), check_exact=True)


def test_symbols_outside_the_universe_change_nothing(sample: pd.DataFrame, early: pd.DataFrame) -> None:
    pipeline = FeaturePipeline.fit(FAMILIES, early)
    more = pd.concat([early, sample[sample["symbol"] == "GOOG"].head(300)], ignore_index=True)
    pd.testing.assert_frame_equal(pipeline.compute(early), pipeline.compute(more).head(len(early)), check_exact=True)


def test_a_row_is_whole_or_absent(early: pd.DataFrame) -> None:
    pipeline = FeaturePipeline.fit(["returns", "technical"], early)
    values = pipeline.compute(early)
    warming = (values.groupby("symbol").cumcount() < pipeline.warmup_bars - 1).to_numpy()
    assert values.loc[warming, list(pipeline.names)].isna().all(axis=None)
    assert values.loc[~warming, list(pipeline.names)].notna().all(axis=None)
    assert set(values[list(pipeline.names)].dtypes) == {np.dtype("float32")}


def test_what_was_saved_computes_the_same(early: pd.DataFrame) -> None:
    pipeline = FeaturePipeline.fit(["cross_asset", "rsi_14"], early)
    again = FeaturePipeline.from_dict(pipeline.to_dict())
    pd.testing.assert_frame_equal(pipeline.compute(early), again.compute(early), check_exact=True)


def test_replacing_all_rows_after_training_changes_no_fitted_parameter(early: pd.DataFrame) -> None:
    end = early["timestamp"].sort_values().iloc[len(early) * 7 // 10]
    generator = np.random.default_rng(1)

    def fitted(bars: pd.DataFrame) -> tuple[dict, dict]:
        training = bars["timestamp"] < end
        pipeline = FeaturePipeline.fit(FAMILIES, bars[training])
        features = pipeline.compute(bars)[training.to_numpy()]
        return pipeline.to_dict(), Scaler.fit(features[list(pipeline.names)].dropna().to_numpy()).to_dict()

    later = (early["timestamp"] >= end).to_numpy()
    replaced = early.copy()
    values = replaced.columns.drop(["timestamp", "symbol"])
    replaced.loc[later, values] = generator.lognormal(3, 1, (later.sum(), len(values)))
    assert fitted(early) == fitted(replaced)


def test_without_volume_the_features_of_volume_are_left_out_and_no_other_changes(early: pd.DataFrame) -> None:
    pipeline = FeaturePipeline.fit(FAMILIES, early)
    bare = early.drop(columns="volume")
    without = FeaturePipeline.fit(FAMILIES, bare)
    assert set(without.left_out) == set(pipeline.names) - set(without.names)
    assert {CATALOGUE[name].needs for name in without.left_out} == {"volume"}
    assert set(without.left_out.values()) == {"the bars have no volume"}
    assert "volume" not in without.inputs
    assert "volume" in pipeline.inputs
    assert "volume" not in FeaturePipeline.fit(["return_1"], early).inputs
    same = pipeline.compute(early)[["timestamp", "symbol", *without.names]]
    both_warm = same.groupby("symbol").cumcount() >= pipeline.warmup_bars
    pd.testing.assert_frame_equal(without.compute(bare)[both_warm], same[both_warm], check_exact=True)
    with pytest.raises(UserError, match=r"the features need the columns .*; volume missing; add it"):
        pipeline.compute(bare)
    with pytest.raises(UserError, match=r"features\.names: expected a feature that can be computed.*volume_change"):
        FeaturePipeline.fit(["volume_change"], bare)


def test_a_row_without_a_symbol_gives_no_other_row_its_values(early: pd.DataFrame) -> None:
    """The contract refuses such rows; whatever comes through has no features, and moves no one else's."""
    pipeline = FeaturePipeline.fit(["return_1", "volatility_5"], early)
    blank = early.assign(symbol=early["symbol"].where(early.index != 3))
    features, expected = pipeline.compute(blank), pipeline.compute(early)
    assert features.loc[3, list(pipeline.names)].isna().all()
    others = early.index >= 3 + pipeline.warmup_bars
    pd.testing.assert_frame_equal(features[others], expected[others], check_exact=True)


def test_missing_sentiment_is_told(early: pd.DataFrame) -> None:
    with pytest.raises(UserError, match=r"need the columns .*sentiment.* missing; set data.sentiment.enabled"):
        FeaturePipeline.fit(["sentiment_5"], early).compute(early.drop(columns=list(SENTIMENT)))


def test_of_one_symbol_what_compares_symbols_is_left_out(early: pd.DataFrame) -> None:
    one = early[early["symbol"] == "IBM"]
    pipeline = FeaturePipeline.fit(["return_1", "cross_asset", "turbulence"], one)
    assert pipeline.names == ("return_1",)
    assert {CATALOGUE[name].needs for name in pipeline.left_out} == {"universe"}
    assert set(pipeline.left_out.values()) == {"it compares symbols, and the training span has IBM only"}
    assert pipeline.compute(one)["return_1"].notna().sum() == len(one) - 1
    # It is the training span that counts.
    training = (early["symbol"] == "IBM").to_numpy()
    assert FeaturePipeline.fit(["return_1", "rank_5"], early, training).universe == ("IBM",)


def test_a_missing_symbol_of_the_universe_is_told(early: pd.DataFrame) -> None:
    pipeline = FeaturePipeline.fit(["rank_5"], early)
    with pytest.raises(UserError, match="MSFT missing; add their bars"):
        pipeline.compute(early[early["symbol"] != "MSFT"])


@pytest.fixture
def lives() -> pd.DataFrame:
    """Four symbols: two throughout, OLD up to bar 250 of 400, NEW from bar 150 on."""
    stamps = pd.bdate_range("2020-01-01", periods=400, tz="UTC").astype("datetime64[us, UTC]")
    tables = []
    for number, (symbol, first, last) in enumerate((("A", 0, 400), ("B", 0, 400), ("NEW", 150, 400), ("OLD", 0, 250))):
        close = 100 * np.exp(np.cumsum(np.random.default_rng(number).normal(0, 0.01, last - first)))
        prices = {"open": close * 0.999, "high": close * 1.01, "low": close * 0.99, "close": close}
        tables.append(pd.DataFrame({"timestamp": stamps[first:last], "symbol": symbol, **prices}))
    return pd.concat(tables, ignore_index=True)


CROSS = ["cross_asset", "turbulence", "return_5"]


def request(bars: pd.DataFrame, stamps: pd.DatetimeIndex, bar: int, count: int) -> pd.DataFrame:
    """The last `count` bars of each symbol that has one at or before the bar, as serving is asked."""
    return bars[bars["timestamp"] <= stamps[bar]].groupby("symbol").tail(count).reset_index(drop=True)


def test_served_features_are_the_offline_ones_whoever_has_ended_or_is_not_yet_listed(lives: pd.DataFrame) -> None:
    training = (lives["timestamp"] < lives["timestamp"].unique()[280]).to_numpy()
    pipeline = FeaturePipeline.fit(CROSS, lives, training)
    assert pipeline.universe == ("A", "B", "NEW", "OLD")
    assert [life.ended for life in pipeline.lives] == [False, False, False, True]
    offline = pipeline.compute(lives)
    again = FeaturePipeline.from_dict(pipeline.to_dict())
    stamps = pd.DatetimeIndex(lives["timestamp"].unique()).sort_values()
    needed = pipeline.warmup_bars
    for bar in range(needed - 1, 400, 7):
        sent = request(lives, stamps, bar, needed)
        window = sent.loc[sent["symbol"] == "A", "timestamp"].min()
        asked = {"A", "B"}
        asked |= {"NEW"} if stamps[bar] >= stamps[150] else set()
        asked |= {"OLD"} if window <= stamps[249] else set()
        # What is asked for is enough, to the bit.
        answered = again.compute(sent[sent["symbol"].isin(asked)])
        newest = answered[answered["timestamp"] == stamps[bar]].dropna().reset_index(drop=True)
        expected = offline[(offline["timestamp"] == stamps[bar]) & offline["symbol"].isin(newest["symbol"])]
        assert "A" in set(newest["symbol"])
        pd.testing.assert_frame_equal(newest, expected.reset_index(drop=True), check_exact=True)
        # And none of it can be left out.
        for symbol in asked - {"A"}:
            with pytest.raises(UserError, match=f"{symbol} missing"):
                again.compute(sent[sent["symbol"].isin(asked - {symbol})])


def test_a_symbol_that_traded_lately_is_no_ended_one(lives: pd.DataFrame) -> None:
    stamps = lives["timestamp"].unique()
    for bars_behind, ended in ((0, False), (5, False), (6, True)):
        cut = lives[(lives["symbol"] != "B") | (lives["timestamp"] <= stamps[399 - bars_behind])]
        pipeline = FeaturePipeline.fit(CROSS, cut)
        assert {life.symbol: life.ended for life in pipeline.lives}["B"] == ended


@pytest.mark.parametrize("market", [*MARKETS, "none"])
def test_rows_by_symbol_are_pandas_groups(market: str) -> None:
    bars = MARKETS[market](3) if market in MARKETS else MARKETS["one symbol"](3).head(0)
    rows, groups = rows_by_symbol(bars), bars.groupby("symbol").indices
    assert list(rows) == sorted(groups)
    assert all((rows[symbol] == groups[symbol]).all() for symbol in groups)
