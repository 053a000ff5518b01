"""What the features are: TA-Lib's values, textbook formulas, and nothing of the price level."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import talib
import yaml

from MLOps.data.bars import PRICES
from MLOps.data.sources import SAMPLE
from MLOps.data.sources.files import bars_from_file
from MLOps.errors import UserError
from MLOps.features.catalogue import CATALOGUE, FAMILIES, as_markdown, chosen
from MLOps.features.families.fractal import higuchi_dimension, hurst_exponent, katz_dimension, variance_ratio
from MLOps.features.families.technical import FEATURES as TECHNICAL
from MLOps.features.families.technical import directional_index, relative_strength
from MLOps.features.feature import SymbolBars
from MLOps.features.pipeline import FeaturePipeline, rows_by_symbol, symbol_bars
from MLOps.features.talib_windows import windowed_talib
from MLOps.features.universe import SHRINKAGE, Universe


def bars_of_ibm(sample: pd.DataFrame) -> SymbolBars:
    """600 bars, of which nothing was computed yet."""
    bars = sample[sample["symbol"].isin(["AAPL", "IBM", "MSFT"])]
    bars = bars[(bars["symbol"] != "IBM") | (bars.groupby("symbol").cumcount() < 600)].reset_index(drop=True)
    universe = FeaturePipeline.fit(["rank_1"], bars).universe_at(bars)
    return symbol_bars(bars, rows_by_symbol(bars), universe)["IBM"]


@pytest.fixture(scope="module")
def ibm(sample: pd.DataFrame) -> SymbolBars:
    return bars_of_ibm(sample)


def value(name: str, bars: SymbolBars) -> np.ndarray:
    return CATALOGUE[name].compute(bars)[CATALOGUE[name].warmup_bars - 1 :]


def test_technical_features_are_the_bits_of_talib_begun_afresh_on_each_window(
    sample: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars, calls = bars_of_ibm(sample), []

    def recorded(name: str, series: tuple[np.ndarray, ...], window: int, options: dict[str, float]) -> Any:
        values = windowed_talib(name, series, window, options)
        calls.append((name, series, window, options, values))
        return values

    monkeypatch.setattr("MLOps.features.feature.windowed_talib", recorded)
    for feature in TECHNICAL.values():
        feature.compute(bars)
    assert len({name for name, *_ in calls}) >= 40
    for name, series, window, options, values in calls:
        for t in range(window, 600, 29):
            expected = getattr(talib, name)(*(array[t - window : t] for array in series), **options)
            expected = expected if isinstance(expected, tuple) else (expected,)
            assert [output[-1] for output in expected] == [output[t - 1] for output in values], (name, t)


@pytest.mark.parametrize(("window", "period"), [(84, 14), (180, 30), (40, 20)])
@pytest.mark.parametrize(
    ("ours", "theirs", "inputs"),
    [(directional_index, talib.DX, ("high", "low", "close")), (relative_strength, talib.RSI, ("close",))],
)
def test_wilders_indices_are_those_of_talib(
    ours: Callable[..., np.ndarray],
    theirs: Callable[..., np.ndarray],
    inputs: tuple[str, ...],
    window: int,
    period: int,
    ibm: SymbolBars,
) -> None:
    series = [getattr(ibm, name) for name in inputs]
    bar = np.arange(600)
    still = [np.where(bar < 200, 5.0, prices) for prices in series]  # no range, and no movement
    rising = [50.0 + bar + offset for offset in (1, -1, 0)[: len(inputs)]]
    for arrays in (series, still, rising):
        values = ours(*arrays, window, period)
        assert np.isnan(values[: window - 1]).all()
        for t in range(window, 600, 7):
            expected = theirs(*(prices[t - window : t] for prices in arrays), period)[-1]
            assert values[t - 1] == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_no_feature_knows_the_price_level_or_the_unit_of_volume(early: pd.DataFrame) -> None:
    pipeline = FeaturePipeline.fit(FAMILIES, early)
    other = early.assign(**{name: early[name] * 2 for name in PRICES}, volume=early["volume"] * 4)
    pd.testing.assert_frame_equal(pipeline.compute(early), pipeline.compute(other), check_exact=True)


def seldom_traded(bars: pd.DataFrame) -> pd.DataFrame:
    """Volumes of which many are 0, with a month of silence, and a month without any change."""
    idle = np.random.default_rng(0).random(len(bars)) < 0.4
    place = bars.groupby("symbol").cumcount()
    volume = bars["volume"].mask(idle | place.between(200, 230), 0.0).mask(place.between(260, 300), 1000.0)
    return bars.assign(volume=volume)


@pytest.mark.parametrize("unit", [1e-9, 1e-3, 1e9])
@pytest.mark.parametrize("seldom", [False, True])
def test_no_feature_knows_the_unit_of_volume_however_small(unit: float, seldom: bool, early: pd.DataFrame) -> None:
    bars = seldom_traded(early) if seldom else early
    pipeline = FeaturePipeline.fit(FAMILIES, bars)
    with np.errstate(all="ignore"):
        one, other = pipeline.compute(bars), pipeline.compute(bars.assign(volume=bars["volume"] * unit))
    for name in pipeline.names:
        np.testing.assert_allclose(other[name], one[name], rtol=1e-5, atol=1e-5, err_msg=name)


def test_what_needs_volume_is_declared(early: pd.DataFrame) -> None:
    """A feature whose values move with volume, and no other, needs it."""
    pipeline = FeaturePipeline.fit(FAMILIES, early)
    volume = np.random.default_rng(0).permutation(early["volume"])
    one, other = pipeline.compute(early), pipeline.compute(early.assign(volume=volume))
    moved = {name for name in pipeline.names if not one[name].equals(other[name])}
    assert moved == {name for name, feature in CATALOGUE.items() if feature.needs == "volume"}


def test_money_flow_is_that_of_talib_where_talib_has_one(ibm: SymbolBars) -> None:
    # Prices as they were quoted: adjusted ones that are equal differ by roundings, which TA-Lib takes for moves.
    raw = bars_from_file(SAMPLE)
    quoted = symbol_bars(raw, rows_by_symbol(raw), Universe([]))["IBM"]
    expected = talib.MFI(quoted.high, quoted.low, quoted.close, quoted.volume, 14) / 100
    np.testing.assert_allclose(CATALOGUE["mfi_14"].compute(quoted)[14:], expected[14:], rtol=1e-9)
    idle = replace(ibm, volume=np.zeros(len(ibm.close)), _kept={})
    assert (CATALOGUE["mfi_14"].compute(idle)[14:] == 0.5).all()


def test_every_feature_is_finite_once_its_warmup_is_over(sample: pd.DataFrame) -> None:
    pipeline = FeaturePipeline.fit(FAMILIES, sample[sample["symbol"] != "FB"])
    values = pipeline.compute(sample).groupby("symbol").nth(slice(pipeline.warmup_bars - 1, None))
    assert np.isfinite(values[list(pipeline.names)].to_numpy()).all()


def test_features_stay_finite_where_prices_and_volume_stand_still() -> None:
    stamps = pd.date_range("2024-01-01", periods=300, tz="UTC").astype("datetime64[us, UTC]")
    still = pd.DataFrame({"timestamp": stamps, "symbol": "A", **dict.fromkeys(PRICES, 5.0), "volume": 0.0})
    still = still.assign(sentiment=0.0, sentiment_items=0.0)
    bars = pd.concat([still, still.assign(symbol="B")], ignore_index=True)
    # Correlations, slopes on a market that stands still and the like have no value there; nothing may be infinite.
    with np.errstate(all="ignore"):
        values = FeaturePipeline.fit(FAMILIES, bars).compute(bars)
    assert not np.isinf(values[list(CATALOGUE)].to_numpy()).any()


def test_textbook_values(ibm: SymbolBars, sample: pd.DataFrame) -> None:
    close, high, low = pd.Series(ibm.close), pd.Series(ibm.high), pd.Series(ibm.low)
    returns = np.log(close).diff()
    wide = sample.pivot(index="timestamp", columns="symbol", values="close")[["AAPL", "IBM", "MSFT"]].head(600)
    market = np.log(wide).diff().mean(axis=1).reset_index(drop=True)
    expected = {
        "return_5": np.log(close / close.shift(5)),
        "volatility_20": returns.rolling(20).std(),
        "parkinson_20": np.sqrt((np.log(high / low) ** 2).rolling(20).mean() / (4 * np.log(2))),
        "downside_volatility_20": np.sqrt((returns.clip(upper=0) ** 2).rolling(20).mean()),
        "price_to_high_60": np.log(close / high.rolling(60).max()),
        "price_to_low_60": np.log(close / low.rolling(60).min()),
        "skewness_60": returns.rolling(60).apply(lambda r: ((r - r.mean()) ** 3).mean() / r.std(ddof=0) ** 3),
        "beta_60": returns.rolling(60).cov(market) / market.rolling(60).var(),
        "market_correlation_30": returns.rolling(30).corr(market),
        "relative_strength_5": np.log(close / close.shift(5)) - market.rolling(5).sum(),
        "rank_1": np.log(wide).diff().rank(axis=1)["IBM"].reset_index(drop=True).sub(1) / 3,
        "weekday": pd.Series(ibm.timestamp).dt.dayofweek / 6,
        "days_to_month_end": (pd.Series(ibm.timestamp).dt.days_in_month + 1 - pd.Series(ibm.timestamp).dt.day) / 31,
        "bollinger_width_20": 4 * close.rolling(20).std(ddof=0) / close.rolling(20).mean(),
    }
    for name, values in expected.items():
        settled = values.to_numpy()[CATALOGUE[name].warmup_bars - 1 :]
        # Ties in a rank count as half for pandas and not at all here.
        tolerance = 0.17 if name == "rank_1" else 1e-9
        np.testing.assert_allclose(value(name, ibm), settled, atol=tolerance, err_msg=name)


def test_turbulence_is_the_distance_by_the_shrunk_covariance(ibm: SymbolBars, sample: pd.DataFrame) -> None:
    wide = sample.pivot(index="timestamp", columns="symbol", values="close")[["AAPL", "IBM", "MSFT"]].head(600)
    returns = np.log(wide).diff().to_numpy()
    for t in (100, 333, 599):
        window = returns[t - 60 : t]
        centred = window - window.mean(axis=0)
        covariance = centred.T @ centred / 60
        shrunk = covariance + SHRINKAGE * np.trace(covariance) / 3 * np.eye(3)
        y = returns[t] - window.mean(axis=0)
        expected = y @ np.linalg.inv(shrunk) @ y / 3
        assert np.expm1(CATALOGUE["turbulence_60"].compute(ibm)[t]) == pytest.approx(expected, rel=1e-9)


def test_shares_of_wavelet_energy_and_of_spectral_power_add_up(ibm: SymbolBars) -> None:
    bands = np.sum([value(f"fourier_{name}", ibm) for name in ("slow", "middle", "fast")], axis=0)
    np.testing.assert_allclose(bands, 1.0)
    scales = np.sum([value(f"wavelet_energy_{level}", ibm) for level in (1, 2, 3, 4)], axis=0)
    assert scales.min() > 0
    assert scales.max() <= 1 + 1e-12


def test_a_cycle_shows_its_period_and_phase(ibm: SymbolBars) -> None:
    t = np.arange(600)
    cycle = replace(ibm, close=np.exp(np.cumsum(np.cos(2 * np.pi * t / 16) / 100)), _kept={})
    np.testing.assert_allclose(value("fourier_period", cycle), 4.0)
    np.testing.assert_allclose(value("fourier_phase", cycle), np.cos(2 * np.pi * t / 16)[64:], atol=1e-9)
    around_16_bars = value("wavelet_energy_3", cycle) + value("wavelet_energy_4", cycle)
    np.testing.assert_allclose(around_16_bars, around_16_bars[0])
    assert around_16_bars[0] > 0.9


def test_fractals_of_known_paths() -> None:
    noise = np.random.default_rng(0).standard_normal(4096)
    assert np.nanmean(hurst_exponent(noise, 128)) == pytest.approx(0.6, abs=0.06)  # 0.5, biased upwards when short
    assert np.nanmean(hurst_exponent(np.cumsum(noise), 128)) > 0.9
    assert np.nanmean(higuchi_dimension(noise, 64, 8)) == pytest.approx(2.0, abs=0.1)
    assert np.nanmean(higuchi_dimension(np.cumsum(noise), 64, 8)) == pytest.approx(1.5, abs=0.1)
    assert higuchi_dimension(np.arange(64.0), 64, 8)[-1] == pytest.approx(1.0)
    assert katz_dimension(np.arange(30.0), 30)[-1] == pytest.approx(1.0)
    assert np.nanmean(variance_ratio(noise, 60, 5)) == pytest.approx(1.0, abs=0.1)


def test_families_and_names_choose_in_order() -> None:
    assert chosen(["return_1", "turbulence", "rsi_14"]) == ("return_1", "turbulence_20", "turbulence_60", "rsi_14")


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        (["volatlity"], "unknown feature 'volatlity'; did you mean 'volatility'?"),
        (["rsi_15"], "did you mean 'rsi_14'?"),
        (["returns", "return_5"], "'return_5' is listed twice"),
    ],
)
def test_a_choice_that_cannot_be_is_told(entries: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence.replace("?", r"\?")):
        chosen(entries)


def test_names_are_unique_and_no_family_is_called_like_a_feature() -> None:
    assert sum(len(family) for family in FAMILIES.values()) == len(CATALOGUE)
    assert not set(FAMILIES) & set(CATALOGUE)


def test_the_guide_lists_the_catalogue() -> None:
    assert as_markdown() in Path("docs/features.md").read_text()


def test_the_default_features_are_in_the_catalogue() -> None:
    names = yaml.safe_load(Path("params.yaml").read_text())["features"]["names"]
    assert max(CATALOGUE[name].warmup_bars for name in chosen(names)) <= 84
