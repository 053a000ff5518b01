"""What an agent observes: chosen features and forecasters; what the bars cannot give is left out and said."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from MLOps.agents.observations import MarketView
from MLOps.config.agents import ObserveConfig
from MLOps.config.labels import CLASSES
from MLOps.config.trading import TradingConfig
from MLOps.errors import UserError
from MLOps.features.causality import draw_cutoffs, find_leaks
from MLOps.features.families.turbulence import market_turbulence
from MLOps.features.pipeline import FeaturePipeline
from MLOps.predictors.contract import Forecast
from MLOps.predictors.ensemble import ENSEMBLE, Ensemble
from MLOps.predictors.signals import FULL_MODEL, signal_table

BARS, TRAINING = 50, np.arange(50) < 35
PRIOR = Ensemble(CLASSES, (), (), None, np.full(3, 1 / 3), 0.0)
MEMBER = Ensemble(CLASSES, ("lstm",), (1.0,), None, np.full(3, 1 / 3), 0.0)


@pytest.fixture
def table() -> pd.DataFrame:
    stamps = pd.date_range("2024-01-01", periods=BARS, tz="UTC")
    values = np.random.default_rng(0).standard_normal((BARS, 2)).astype(np.float32)
    return pd.DataFrame({"timestamp": stamps, "symbol": "A", "return_1": values[:, 0], "rsi_14": values[:, 1]})


@pytest.fixture
def forecasts() -> dict[str, Forecast]:
    generator = np.random.default_rng(1)

    def forecast(size: int) -> Forecast:
        return Forecast.rounded(
            generator.dirichlet(np.ones(3), BARS),
            generator.normal(0.001, 0.01, BARS),
            generator.random(BARS),
            generator.normal(2.0, 3.0, (BARS, size)) if size else None,
        )

    return {"lstm": forecast(4), "logistic": forecast(0), "gru": forecast(2)}


@pytest.fixture
def signals(table: pd.DataFrame, forecasts: dict[str, Forecast]) -> pd.DataFrame:
    """Of a member of the ensemble and of two predictors that did not pass; the logistic begins six bars later."""
    starts = {"logistic": 6}
    tables = {
        name: signal_table(table, given, CLASSES).assign(fold=np.int8(FULL_MODEL)).iloc[starts.get(name, 0) :]
        for name, given in forecasts.items()
    }
    return MEMBER.combine(table, tables)


def observing(**values: Any) -> ObserveConfig:
    return ObserveConfig(**({"features": ("return_1",)} | values))


def test_what_was_left_out_of_the_features_is_not_observed(
    table: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    left_out, signals = {"volume_change": "the bars have no volume"}, PRIOR.combine(table, {})
    entries = ("return_1", "volume_change", "rsi_14")
    view = MarketView.fit(observing(features=entries), PRIOR, table, signals, TRAINING, left_out)
    assert view.features == ("return_1", "rsi_14")
    assert "volume_change left out: the bars have no volume" in capsys.readouterr().out
    without = MarketView.fit(observing(features=("return_1", "rsi_14")), PRIOR, table, signals, TRAINING)
    assert view.to_dict() == without.to_dict()
    assert view.forecasters == (ENSEMBLE,), "without members the ensemble itself is observed"


def test_what_cannot_be_observed_is_told(table: pd.DataFrame) -> None:
    left_out, signals = {"volume_change": "the bars have no volume"}, PRIOR.combine(table, {})

    def fit(*features: str, signals: pd.DataFrame = signals) -> None:
        MarketView.fit(observing(features=features), PRIOR, table, signals, TRAINING, left_out)

    with pytest.raises(UserError, match=r"unknown feature 'rsi_41'; did you mean 'rsi_14'\?"):
        fit("rsi_41")
    with pytest.raises(UserError, match=r"observe.features: expected a feature that these bars have, found none"):
        fit("volume_change")
    with pytest.raises(UserError, match="with the signals of ensemble, found none"):
        fit("return_1", signals=signals.iloc[:0])


def test_each_agent_observes_the_forecasters_of_its_choice(
    table: pd.DataFrame,
    signals: pd.DataFrame,
    forecasts: dict[str, Forecast],
    capsys: pytest.CaptureFixture[str],
) -> None:
    def columns(**values: Any) -> list[str]:
        observed = MarketView.fit(observing(**values), MEMBER, table, signals, TRAINING).observe(table, signals)
        return [name for name in observed.columns if name not in ("timestamp", "symbol", "return_1")]

    parts = ("class", "confidence", *(f"p_{name}" for name in CLASSES), "expected_return", "uncertainty")
    assert columns() == [f"lstm_{part}" for part in parts]
    assert capsys.readouterr().out == ""
    assert columns(predictors=("ensemble",)) == [f"ensemble_{part}" for part in parts]
    assert capsys.readouterr().out == ""
    embedded = columns(predictors=("logistic",), embeddings=("gru",))
    assert embedded == [*(f"logistic_{part}" for part in parts), "gru_embedding_0", "gru_embedding_1"]
    assert "logistic is observed, although it is not a member" in capsys.readouterr().out


def test_a_forecaster_that_did_not_pass_is_observed_as_it_forecast(
    table: pd.DataFrame, signals: pd.DataFrame, forecasts: dict[str, Forecast]
) -> None:
    view = MarketView.fit(observing(predictors=("logistic",), embeddings=("gru",)), MEMBER, table, signals, TRAINING)
    observed = view.observe(table, signals)
    assert observed["timestamp"].tolist() == table["timestamp"].iloc[6:].tolist(), "only bars with every signal"
    logistic, gru = forecasts["logistic"], forecasts["gru"]
    assert gru.embedding is not None
    np.testing.assert_array_equal(observed["logistic_p_rise"], logistic.probabilities[6:, 2])
    numbers = {"logistic_expected_return": logistic.expected_return}
    numbers |= {f"gru_embedding_{number}": gru.embedding[:, number] for number in range(2)}
    for name, values in numbers.items():
        # Standardised by the training rows that the agent observes, and by no others.
        own = values[6:35].astype(np.float64)
        np.testing.assert_allclose(observed[name], (values[6:] - own.mean()) / own.std(), rtol=1e-4, atol=1e-4)


def test_a_view_is_the_same_after_saving_and_for_any_batch(
    table: pd.DataFrame, signals: pd.DataFrame, forecasts: dict[str, Forecast]
) -> None:
    view = MarketView.fit(
        observing(predictors=("lstm", "ensemble"), embeddings=("lstm", "gru")), MEMBER, table, signals, TRAINING
    )
    assert view.predictors == ("lstm", "gru")
    loaded = MarketView.from_dict(view.to_dict())
    whole = view.observe(table, signals)
    rows = [3, 17, 49]
    own = {name: forecasts[name] for name in view.predictors}
    own[ENSEMBLE] = MEMBER.forecast([forecasts["lstm"]], BARS)
    for row in rows:
        one = {
            name: Forecast(
                given.probabilities[[row]],
                given.expected_return[[row]],
                given.uncertainty[[row]],
                None if given.embedding is None else given.embedding[[row]],
            )
            for name, given in own.items()
        }
        served = loaded.observations(table.loc[[row], ["return_1"]].to_numpy(np.float32), one)
        np.testing.assert_array_equal(served[0], whole.drop(columns=["timestamp", "symbol"]).to_numpy()[row])


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    """Three symbols of different lives, one with an outage."""
    generator = np.random.default_rng(5)
    tables = []
    for symbol, (start, stop) in {"A": (0, 160), "B": (40, 160), "C": (0, 130)}.items():
        close = 100 * np.exp(np.cumsum(generator.normal(0, 0.01, 160)))
        stamps = pd.date_range("2024-01-01", periods=160, freq="h", tz="UTC")
        prices = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close}
        own = pd.DataFrame({"timestamp": stamps, "symbol": symbol, **prices}).iloc[start:stop]
        tables.append(own.drop(index=range(70, 80)) if symbol == "C" else own)
    return pd.concat(tables, ignore_index=True)


def test_the_turbulence_of_the_stop_is_that_of_every_symbol_and_knows_no_future(bars: pd.DataFrame) -> None:
    pipeline = FeaturePipeline.fit(["return_1", "turbulence_20"], bars)
    trading = TradingConfig(turbulence_stop=1.0, turbulence_feature="turbulence_20")

    def turbulence(bars: pd.DataFrame) -> pd.DataFrame:
        features = pipeline.compute(bars)
        level = market_turbulence(features, trading)
        assert level is not None
        keys = features[["timestamp", "symbol"]]
        return keys.assign(level=keys["timestamp"].map(level).to_numpy())

    features, level = pipeline.compute(bars), turbulence(bars)["level"]
    known = features["turbulence_20"].notna()
    np.testing.assert_array_equal(level[known], features.loc[known, "turbulence_20"])
    assert level[known].notna().sum() > 300
    late = bars[bars["timestamp"] > bars["timestamp"].min() + pd.Timedelta(hours=60)]
    assert find_leaks(turbulence, bars, draw_cutoffs(late, 20)) == []
    assert market_turbulence(features, TradingConfig()) is None
    with pytest.raises(UserError, match="expected the feature turbulence_60, found none"):
        market_turbulence(features, TradingConfig(turbulence_stop=1.0))


def test_the_market_has_the_turbulence_that_its_rules_need(table: pd.DataFrame) -> None:
    level = np.linspace(0, 2, BARS).astype(np.float32)
    features = table.assign(turbulence_60=level)
    signals = PRIOR.combine(table, {})
    view = MarketView.fit(observing(), PRIOR, features, signals, TRAINING)
    bars = table[["timestamp", "symbol"]].assign(open=1.0, high=1.0, low=1.0, close=1.0)
    assert view.market(bars, features, signals, TradingConfig()).turbulence is None
    turbulence = view.market(bars, features, signals, TradingConfig(turbulence_stop=1.0)).turbulence
    assert turbulence is not None
    np.testing.assert_array_equal(turbulence, level.astype(np.float64))
