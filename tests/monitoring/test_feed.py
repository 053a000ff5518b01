"""Faults of a feed on unlike markets: none where nothing is wrong, and each planted one found."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from MLOps.data.bars import PRICES, VOLUME
from MLOps.monitoring.feed import FeedReference, feed_faults, missing_features, repeated_bars, steps
from MLOps.monitoring.panel import Panel
from tests.data import markets

WINDOW = 60
MARKETS = (markets.daily_stocks, markets.hourly_crypto, markets.five_minutes_with_outages, markets.thirty_stocks)


def halves(market: markets.Market, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    bars = market(seed)
    clock = np.sort(bars["timestamp"].unique())
    old = (bars["timestamp"] < clock[len(clock) * 2 // 3]).to_numpy()
    return bars[old].reset_index(drop=True), bars[~old].reset_index(drop=True)


@pytest.mark.parametrize("market", MARKETS, ids=lambda market: market.__name__)
def test_a_sound_feed_has_no_fault(market: markets.Market) -> None:
    old, new = halves(market)
    # Of the symbols that go on to the end; one that ends is a feed that stops.
    living = new.groupby("symbol")["timestamp"].max()
    new = new[new["symbol"].isin(living[living == living.max()].index)]
    now = new["timestamp"].max() + pd.Timedelta(hours=1)
    assert feed_faults(FeedReference.of(old), new, WINDOW, now) == []


def price(own: pd.DataFrame) -> pd.DataFrame:
    return own.assign(**{name: own[name] * 100 for name in PRICES})


def volume(own: pd.DataFrame) -> pd.DataFrame:
    return own.assign(volume=own[VOLUME] * 100)


def dead(own: pd.DataFrame) -> pd.DataFrame:
    return own.assign(**{name: own[name].iloc[0] for name in (*PRICES, VOLUME)})


def stopped(own: pd.DataFrame) -> pd.DataFrame:
    return own.iloc[:1]


@pytest.mark.parametrize("fault", [price, volume, dead, stopped])
@pytest.mark.parametrize("market", MARKETS[:3], ids=lambda market: market.__name__)
def test_a_fault_of_one_symbol_is_named(market: markets.Market, fault: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    old, new = halves(market)
    symbol = new["symbol"].iloc[0]
    clock = np.sort(new["timestamp"].unique())
    later = ((new["symbol"] == symbol) & (new["timestamp"] >= clock[-WINDOW])).to_numpy()
    changed = pd.concat([new[~later], fault(new[later])]).sort_values(["symbol", "timestamp"], ignore_index=True)
    faults = feed_faults(FeedReference.of(old), changed, WINDOW)
    assert len(faults) == 1 and faults[0].startswith(f"{symbol}: "), faults


def test_no_new_bars_for_the_market_and_its_usual_pauses() -> None:
    old, new = halves(markets.daily_stocks)
    reference, newest = FeedReference.of(old), new["timestamp"].max()
    assert feed_faults(reference, new, WINDOW, newest + pd.Timedelta(days=4)) == []
    (fault,) = feed_faults(reference, new, WINDOW, newest + pd.Timedelta(days=30))
    assert fault.startswith("no new bars: ")
    assert feed_faults(reference, new, WINDOW, None) == []
    # A bar of the future is a fault itself, and hides no other.
    ahead = new.iloc[[-1]].assign(timestamp=pd.Timestamp("2099-01-01", tz="UTC"))
    now = newest + pd.Timedelta(days=30)
    told = feed_faults(reference, pd.concat([new, ahead], ignore_index=True), WINDOW, now)
    assert told == ["1 bars of the future, the first of 2099-01-01T00:00:00+00:00; a wrong time zone?", fault]
    assert len(feed_faults(reference, ahead, WINDOW, now)) == 1


def test_the_reference_is_the_same_after_json() -> None:
    reference = FeedReference.of(halves(markets.daily_stocks)[0])
    assert FeedReference.from_dict(reference.to_dict()) == reference


def test_runs_and_steps_by_hand() -> None:
    closes = [1.0, 1.0, 1.0, 2.0, 2.0, 3.0]
    assert repeated_bars(pd.DataFrame(dict.fromkeys(PRICES, closes))).tolist() == [0, 1, 2, 0, 1, 0]
    moved = steps(np.array([1.0] * 30 + [100.0] * 5 + [1.0] * 5))
    assert moved[34] == pytest.approx(np.log(100))
    assert moved[33] == 0  # four bars are no level yet
    assert not steps(np.zeros(50)).any()


def test_a_feature_that_is_missing_now_and_never_was() -> None:
    stamps = np.arange(300).astype("datetime64[D]").astype("datetime64[us]")
    values = np.random.default_rng(0).normal(size=(300, 2, 2)).astype(np.float32)
    values[:50, 1] = np.nan  # listed late
    reference = Panel(stamps, ("A", "B"), ("x", "y"), values)
    lacking = values[-100:].copy()
    assert missing_features(reference, Panel(stamps[-100:], ("A", "B"), ("x", "y"), lacking), WINDOW) == []
    lacking[:, :, 1] = np.nan
    (fault,) = missing_features(reference, Panel(stamps[-100:], ("A", "B"), ("x", "y"), lacking), WINDOW)
    assert fault.startswith("y: missing in 100%")


@pytest.mark.parametrize("market", MARKETS, ids=lambda market: market.__name__)
def test_a_bar_of_the_future_is_a_fault_and_hides_no_other(market: markets.Market) -> None:
    old, new = halves(market)
    last = new["timestamp"].max()
    future = new[new["timestamp"] == last].head(1).assign(timestamp=pd.Timestamp("2099-01-01", tz="UTC"))
    ahead = pd.concat([new, future]).sort_values(["symbol", "timestamp"], ignore_index=True)
    reference, late = FeedReference.of(old), last + pd.Timedelta(days=365)
    without = feed_faults(reference, new, WINDOW, late)
    assert any(fault.startswith("no new bars: ") for fault in without)
    first, *others = feed_faults(reference, ahead, WINDOW, late)
    assert first == "1 bars of the future, the first of 2099-01-01T00:00:00+00:00; a wrong time zone?"
    assert others == without
