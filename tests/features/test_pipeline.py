"""The one function that turns bars into features."""

import numpy as np
import pandas as pd
import pytest

from MLOps.data.bars import SENTIMENT
from MLOps.errors import UserError
from MLOps.features.catalogue import FAMILIES
from MLOps.features.pipeline import FeaturePipeline
from MLOps.features.scaler import Scaler


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


def test_missing_sentiment_is_told(early: pd.DataFrame) -> None:
    with pytest.raises(UserError, match=r"sentiment features need .* set data.sentiment.enabled"):
        FeaturePipeline.fit(["sentiment_5"], early).compute(early.drop(columns=list(SENTIMENT)))


def test_one_symbol_cannot_be_compared(early: pd.DataFrame) -> None:
    with pytest.raises(UserError, match="rank_5 compare symbols and need two or more"):
        FeaturePipeline.fit(["rank_5"], early[early["symbol"] == "IBM"])


def test_a_missing_symbol_of_the_universe_is_told(early: pd.DataFrame) -> None:
    pipeline = FeaturePipeline.fit(["rank_5"], early)
    with pytest.raises(UserError, match="MSFT missing; add their bars"):
        pipeline.compute(early[early["symbol"] != "MSFT"])
