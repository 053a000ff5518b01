"""What a market accepts, and what its views show."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from MLOps.config.trading import TradingConfig
from MLOps.errors import UserError
from MLOps.trading import Market, simulate
from tests.trading.sequences import random_market


def tables(market: Market) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The long tables that `market` could have come from, rows shuffled."""
    symbol, bar = np.nonzero(market.alive)
    keys = {
        "timestamp": pd.DatetimeIndex(market.timestamps[bar]).tz_localize("UTC"),
        "symbol": np.array(market.symbols)[symbol],
    }
    prices = {name: getattr(market, name)[symbol, bar] for name in ("open", "high", "low", "close")}
    bars = pd.DataFrame(keys | prices | {"volume": 1.0})
    seen = pd.DataFrame(
        keys | {name: market.observations[symbol, bar, i] for i, name in enumerate(market.observation_names)}
    )
    return bars.sample(frac=1, random_state=0), seen[market.observable[symbol, bar]].sample(frac=1, random_state=1)


@pytest.fixture
def market() -> Market:
    return random_market(np.random.default_rng(1), 4, 50, ragged=True, missing=0.1, turbulence=True)


def test_tables_become_the_same_market(market: Market) -> None:
    bars, observations = tables(market)
    turbulence = pd.Series(market.turbulence, pd.DatetimeIndex(market.timestamps).tz_localize("UTC"))
    built = Market.from_tables(bars, observations, turbulence)
    assert built.symbols == market.symbols and built.observation_names == market.observation_names
    for name in ("timestamps", "open", "high", "low", "close", "alive", "observable", "turbulence"):
        assert np.array_equal(getattr(built, name), getattr(market, name), equal_nan=name != "timestamps"), name
    assert np.array_equal(built.observations[built.observable], market.observations[market.observable])


def test_a_view_shares_memory_and_nothing_can_be_written(market: Market) -> None:
    view = market.between("2020-01-11", "2020-01-21").between("2020-01-13T00:00:00+00:00", None)
    assert view.n_bars == 8
    assert view.timestamps[0] == np.datetime64("2020-01-13") and view.timestamps[-1] == np.datetime64("2020-01-20")
    assert np.array_equal(view.close, market.close[:, 12:20], equal_nan=True)
    assert np.shares_memory(view.observations, market.observations)
    for name in ("timestamps", "close", "observations", "observable", "turbulence"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(view, name)[...] = 0


@pytest.mark.parametrize("scheme", ["discrete", "shares", "weights"])
def test_what_lies_outside_a_view_changes_nothing(scheme: Any) -> None:
    config = TradingConfig(scheme=scheme, stop_loss=0.05)
    rng = np.random.default_rng(3)
    whole = random_market(rng, 3, 60, ragged=True, missing=0.05)
    view = whole.between("2020-01-10", "2020-02-10")
    prices = np.stack([view.open, view.high, view.low, view.close], axis=-1)
    alive = view.alive.any(axis=1)
    alone = Market(
        tuple(np.array(view.symbols)[alive]), view.timestamps, prices[alive], view.observations[alive], ("f0", "f1")
    )
    assert alive.all()
    actions = rng.integers(0, 9, whole.close.shape) if scheme == "discrete" else rng.uniform(-1, 1, whole.close.shape)

    def policy(observations: np.ndarray, symbols: np.ndarray, bar: int) -> np.ndarray:
        return actions[symbols, bar] if scheme == "discrete" else actions[None, :, bar]

    one, other = simulate(policy, view, config), simulate(policy, alone, config)
    for name in ("equity", "cash", "position", "rewards"):
        assert np.array_equal(getattr(one, name), getattr(other, name))


def test_mistakes_are_told_in_words(market: Market) -> None:
    bars, observations = tables(market)
    middle = bars.sort_values(["symbol", "timestamp"]).index[10]
    stranger = observations.iloc[:1].assign(symbol="S9")
    cases = [
        (bars.drop(index=middle), observations, "has no bar"),
        (bars.drop(columns="open"), observations, "lack the column 'open'"),
        (pd.concat([bars, bars.iloc[:1]]), observations, "unique by timestamp and symbol; 1 duplicates, first S"),
        (bars, pd.concat([observations, observations.iloc[:2]]), "observations must be unique"),
        (bars.assign(low=-1.0), observations, "prices must be positive"),
        (bars.assign(high=0.5), observations, "the high must not be below"),
        (bars.assign(low=1e6, high=1e7), observations, "the low must not exceed"),
        (bars.assign(close=np.nan), observations, "expected finite open, high, low and close"),
        (bars.iloc[:0], observations, "expected bars, found none"),
        (bars, stranger, "observations name the symbol S9"),
    ]
    for some_bars, some_observations, words in cases:
        with pytest.raises(UserError, match=words):
            Market.from_tables(some_bars, some_observations)
    with pytest.raises(UserError, match="hole in its life at 2020-01-11"):
        Market.from_tables(bars.drop(index=middle), observations.iloc[:0])
    with pytest.raises(UserError, match="no bar with 2031"):
        market.between("2031-01-01", None)
    with pytest.raises(UserError, match="turbulence of 50 bars, found 3"):
        Market(
            market.symbols,
            market.timestamps,
            market.block.prices,
            market.block.observations,
            market.observation_names,
            np.zeros(3),
        )
