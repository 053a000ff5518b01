"""Judged bars are settled once for all stages: adjusted, holes treated as configured, short lives left out."""

import numpy as np
import pandas as pd
import pytest

from MLOps.config.splits import SplitConfig
from MLOps.data.adjust import ROUNDING, adjust
from MLOps.data.bars import ADJUSTED_CLOSE, PRICES, check_bars
from MLOps.data.quality import missing_bars
from MLOps.data.settle import TRADED_BARS, require_history, settle
from MLOps.data.sources import SAMPLE
from MLOps.data.sources.files import bars_from_file
from MLOps.data.sources.sample import bundled_bars
from MLOps.data.splits import MIN_BARS, split
from MLOps.errors import UserError
from tests.data.markets import daily_stocks, five_minutes_with_outages, thirty_stocks


def test_the_sample_is_settled_into_adjusted_bars() -> None:
    bars, findings = settle(bars_from_file(SAMPLE), "trade_without", 113, "raw")
    pd.testing.assert_frame_equal(bars, bundled_bars())
    assert findings == []


def test_adjusting_hides_nothing_that_is_wrong() -> None:
    """What one bar says of itself, and what bars say of each other, is the same before and after up to rounding."""
    clean = daily_stocks(0)
    generator = np.random.default_rng(0)
    wrong = clean.copy()
    for name in PRICES:
        wrong[name] *= np.where(generator.random(len(wrong)) < 0.1, generator.uniform(0.3, 3, len(wrong)), 1.0)
    for bars in (clean, wrong, wrong.drop(columns=ADJUSTED_CLOSE)):
        adjusted = adjust(bars)
        ratio = adjusted["close"] / bars["close"]
        for name in PRICES:
            np.testing.assert_allclose(adjusted[name], bars[name] * ratio, rtol=2 * ROUNDING)
    broken = wrong["high"] < wrong[list(PRICES)].max(axis=1) * (1 - 1e-5)
    still = adjust(wrong)
    assert broken.any()
    assert (still["high"] < still[list(PRICES)].max(axis=1))[broken].all()


def test_roundings_are_put_right_so_that_high_and_low_enclose_exactly() -> None:
    clean = daily_stocks(0)
    # As of a source in single precision.
    rough = clean.assign(**{name: clean[name].astype("float32").astype("float64") for name in PRICES})
    rough["high"] = np.maximum(rough["high"], rough[["open", "close"]].max(axis=1)) * (1 - 5e-7)
    rough["low"] = np.minimum(rough["low"], rough[["open", "close"]].min(axis=1)) * (1 + 5e-7)
    adjusted = adjust(rough)
    assert (adjusted["high"] >= adjusted[["open", "close"]].max(axis=1)).all()
    assert (adjusted["low"] <= adjusted[["open", "close"]].min(axis=1)).all()


def test_holes_stay_or_their_timestamps_go() -> None:
    raw = five_minutes_with_outages(0)
    holes = missing_bars(raw)
    assert len(holes) > 20
    kept, findings = settle(raw, "trade_without", 100, "raw")
    assert len(kept) == len(raw)
    assert findings == []
    dropped, findings = settle(raw, "drop_timestamp", 100, "raw")
    assert missing_bars(dropped).empty
    assert set(raw["timestamp"]) - set(dropped["timestamp"]) == set(holes["timestamp"])
    (finding,) = findings
    assert (finding.check, finding.severity) == ("timestamp dropped", "warning")
    assert finding.count == holes["timestamp"].nunique()


def test_a_symbol_that_is_listed_late_or_ends_early_makes_no_hole() -> None:
    raw = thirty_stocks(0)
    assert missing_bars(raw).empty
    assert len(settle(raw, "drop_timestamp", 50, "raw")[0]) == len(raw)


@pytest.mark.parametrize("lived", [1, 132, 133])
def test_symbols_that_live_too_short_are_left_out_with_a_warning(lived: int) -> None:
    raw = daily_stocks(0)
    short = raw["symbol"] == "S02"
    # Listed late, and ended long ago: both live as many bars.
    for kept in (raw[short].tail(lived), raw[short].iloc[200 : 200 + lived]):
        bars, findings = settle(check_raw(raw[~short], kept), "trade_without", 113, "raw")
        enough = lived >= 113 + TRADED_BARS
        assert ("S02" in set(bars["symbol"])) == enough
        assert [f.rows for f in findings] == ([] if enough else [(f"S02 {lived} bars",)])
        assert all(f.severity == "warning" for f in findings)


def check_raw(*tables: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(tables).sort_values(["symbol", "timestamp"], ignore_index=True)


def test_where_no_symbol_lives_long_enough_it_is_said() -> None:
    raw = daily_stocks(0).groupby("symbol").head(100).reset_index(drop=True)
    with pytest.raises(UserError, match=r"at least 133 bars \(warm-up and look-back take 113\), the longest is .* 100"):
        settle(raw, "trade_without", 113, "raw")


def test_a_training_span_without_room_to_learn_is_refused() -> None:
    raw, needed = daily_stocks(0).groupby("symbol").head(240).reset_index(drop=True), 150
    bars, _ = settle(raw, "trade_without", needed, "raw")
    splits = split(bars["timestamp"], SplitConfig(train=0.7, validation=0.15, test=0.15, embargo_bars=5, folds=5))
    in_training = splits.train.rows(bars["timestamp"]).sum() // 4
    with pytest.raises(
        UserError, match=f"at least {needed + MIN_BARS} bars in the training span.*most is {in_training}"
    ):
        require_history(bars, splits, needed, "raw")
    require_history(bars, splits, in_training - MIN_BARS, "raw")


def test_volume_is_kept_where_every_symbol_has_it() -> None:
    raw = thirty_stocks(0, volume=True)
    assert "volume" in settle(raw, "trade_without", 50, "raw")[0].columns
    some = raw.assign(volume=raw["volume"].mask(raw["symbol"] == "T03"))
    none = raw.assign(volume=raw["volume"].mask(raw["symbol"] == "T03", 0.0))
    for given in (some, none, raw.drop(columns="volume")):
        bars, _ = settle(given, "trade_without", 50, "raw")
        assert "volume" not in bars.columns
        check_bars(bars, "settled")
