"""Verdicts on unlike markets: no change where there is none, whatever is missing or new; planted ones are found."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from MLOps.config.monitoring import MonitoringConfig
from MLOps.config.params import load_params
from MLOps.data.bars import VOLUME
from MLOps.features.pipeline import FeaturePipeline
from MLOps.monitoring.feed import FeedReference
from MLOps.monitoring.judgement import CHANGED, NOT_JUDGED, UNCHANGED, Finding, judge, window_of
from MLOps.monitoring.panel import Panel
from MLOps.monitoring.reference import Reference
from MLOps.operations.model_panels import features_panel, performance_panel
from tests.data import markets
from tests.evaluation.markets import garch
from tests.project import ROOT

CONFIG = MonitoringConfig(checks=("feed", "inputs"), bootstrap_samples=200)
FEATURES = load_params(ROOT / "params.yaml").features.names
SYMBOLS = 30


def one_symbol(seed: int) -> pd.DataFrame:
    return markets.daily_stocks(seed, symbols=1)


def no_volume(seed: int) -> pd.DataFrame:
    return markets.daily_stocks(seed).drop(columns=VOLUME)


def listed_late(seed: int) -> pd.DataFrame:
    """Thirty symbols, of which some appear in the reference and two in the last bars; none ends."""
    bars = garch(SYMBOLS, 900, seed)
    place, number = bars.groupby("symbol").cumcount(), bars["symbol"].str[1:].astype(int)
    first = np.where(number < 2, 790, np.where(number % 4 == 0, number * 15, 0))
    return bars[(place >= first).to_numpy()].reset_index(drop=True)


UNLIKE: dict[Callable[[int], pd.DataFrame], int] = {
    markets.daily_stocks: 252,
    one_symbol: 252,
    no_volume: 252,
    listed_late: 252,
    markets.hourly_crypto: 8766,
    markets.five_minutes_with_outages: 105_192,
}


def split(bars: pd.DataFrame, bars_per_year: int) -> tuple[Reference, pd.DataFrame, Panel]:
    """A reference of the first 85 % of the times, and the newer bars with their features."""
    clock = np.sort(bars["timestamp"].unique())
    cut = pd.Timestamp(clock[int(len(clock) * 0.85)])
    pipeline = FeaturePipeline.fit(FEATURES, bars, (bars["timestamp"] < cut).to_numpy())
    features = pipeline.compute(bars)
    old = (features["timestamp"] < cut).to_numpy()
    panels = {"inputs": features_panel(features[old])}
    reference = Reference(panels, FeedReference.of(bars[(bars["timestamp"] < cut).to_numpy()]), bars_per_year)
    return reference, bars, features_panel(features[~old])


def verdicts(findings: list[Finding]) -> dict[str, str]:
    return {finding.check: finding.verdict for finding in findings}


SLOW = (listed_late, markets.daily_stocks, markets.five_minutes_with_outages, markets.hourly_crypto)


@pytest.mark.parametrize(
    "market",
    [pytest.param(market, marks=[pytest.mark.slow] if market in SLOW else [], id=market.__name__) for market in UNLIKE],
)
def test_nothing_is_found_on_unlike_markets_that_go_on_as_before(market: Callable[[int], pd.DataFrame]) -> None:
    bars = market(0)
    if market is markets.daily_stocks:
        bars = bars.drop(columns="adj_close")
    reference, bars, live = split(bars, UNLIKE[market])
    # Intraday months have thousands of looks, which the slow benchmark draws; a year of as many bars is enough here.
    reference = replace(reference, bars_per_year=min(UNLIKE[market], 2000))
    findings = judge(reference, bars, {"inputs": live}, CONFIG, 0)
    assert verdicts(findings) == {"feed": UNCHANGED, "inputs": UNCHANGED}, [f.reasons for f in findings]
    assert findings[1].left_out == (("S00", "S01") if market is listed_late else ())


def test_one_feature_that_moves_by_two_standard_deviations_is_named() -> None:
    reference, bars, live = split(garch(4, 1200, 1), 252)
    place = live.names.index("price_to_mean_50")
    values = live.values.copy()
    values[..., place] += 2 * np.nanstd(reference.panels["inputs"].values[..., place])
    finding = judge(reference, bars, {"inputs": replace(live, values=values)}, CONFIG, 0)[1]
    assert finding.verdict == CHANGED
    assert "price_to_mean_50" in {channel.name for channel in finding.channels if channel.changed}
    assert len(finding.history) == len(finding.timestamps) > 1


def test_a_reference_that_is_too_short_judges_nothing() -> None:
    reference, bars, live = split(garch(2, 400, 2), 252)
    short = replace(reference, panels={"inputs": reference.panels["inputs"].newest(100)})
    finding = judge(short, bars, {"inputs": live}, CONFIG, 0)[1]
    assert (finding.verdict, finding.figure) == (NOT_JUDGED, None)
    assert "fewer than 200" in finding.reasons[0]


def test_a_loss_is_a_change_and_a_gain_is_none() -> None:
    stamps = pd.date_range("2020-01-01", periods=700, freq="D")
    returns = np.random.default_rng(0).normal(0, 0.01, 700)
    feed = FeedReference({}, 86400.0)
    reference = Reference({"performance": performance_panel(stamps[:600], returns[:600])}, feed, 252)
    config = replace(CONFIG, checks=("performance",))
    for mean, verdict in ((-0.02, CHANGED), (0.02, UNCHANGED), (0.0, UNCHANGED)):
        live = {"performance": performance_panel(stamps[600:], returns[600:] + mean)}
        assert judge(reference, pd.DataFrame(), live, config, 0)[0].verdict == verdict


def test_the_reference_is_the_same_after_it_was_saved(tmp_path: Path) -> None:
    reference, bars, live = split(garch(2, 500, 3), 252)
    folder = tmp_path / "reference"
    reference.save(folder)
    loaded = Reference.load(folder)
    assert loaded.feed == reference.feed
    np.testing.assert_array_equal(loaded.panels["inputs"].values, reference.panels["inputs"].values)
    both = [judge(own, bars, {"inputs": live}, CONFIG, 0)[1].to_dict() for own in (reference, loaded)]
    assert both[0] == both[1]


def test_a_window_of_days_follows_the_bars_of_a_year() -> None:
    days = replace(CONFIG, window_bars=None, window_days=30)
    assert window_of(days, 252) == 21
    assert window_of(days, 8766) == 720
    assert window_of(CONFIG, 8766) == 40
