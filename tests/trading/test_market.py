"""What a market accepts, and what its views show."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from MLOps.config.trading import TradingConfig
from MLOps.errors import UserError
from MLOps.trading import Market, simulate
from tests.trading.sequences import KINDS, Sequence, random_actions, random_market


def tables(market: Market) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The long tables that `market` could have come from, rows shuffled."""
    symbol, bar = np.nonzero(market.alive)
    keys = {
        "timestamp": pd.DatetimeIndex(market.timestamps[bar]).tz_localize("UTC"),
        "symbol": np.array(market.symbols)[symbol],
    }
    prices = {name: getattr(market, name)[symbol, bar] for name in ("open", "high", "low", "close")}
    volume: Any = market.volume
    bars = pd.DataFrame(keys | prices | {"volume": volume[symbol, bar]})
    seen = pd.DataFrame(
        keys | {name: market.observations[symbol, bar, i] for i, name in enumerate(market.observation_names)}
    )
    return bars.sample(frac=1, random_state=0), seen[market.observable[symbol, bar]].sample(frac=1, random_state=1)


@pytest.fixture
def market() -> Market:
    """Without a bar that all symbols lack, of which tables would not know."""
    return random_market(np.random.default_rng(2), 4, 50, ragged=True, missing=0.1, turbulence=True, outages=0.05)


def test_tables_become_the_same_market(market: Market) -> None:
    bars, observations = tables(market)
    turbulence = pd.Series(market.turbulence, pd.DatetimeIndex(market.timestamps).tz_localize("UTC"))
    built = Market.from_tables(bars, observations, turbulence)
    assert built.symbols == market.symbols and built.observation_names == market.observation_names
    arrays = (
        "open",
        "high",
        "low",
        "close",
        "volume",
        "alive",
        "delisted",
        "has_later_bar",
        "observable",
        "turbulence",
    )
    for name in ("timestamps", *arrays):
        assert np.array_equal(getattr(built, name), getattr(market, name), equal_nan=name != "timestamps"), name
    assert np.array_equal(built.observations[built.observable], market.observations[market.observable])


def test_a_view_shares_memory_and_nothing_can_be_written(market: Market) -> None:
    view = market.between("2020-01-11", "2020-01-21").between("2020-01-13T00:00:00+00:00", None)
    assert view.n_bars == 8
    assert view.timestamps[0] == np.datetime64("2020-01-13") and view.timestamps[-1] == np.datetime64("2020-01-20")
    assert np.array_equal(view.close, market.close[:, 12:20], equal_nan=True)
    assert np.shares_memory(view.observations, market.observations)
    for name in ("timestamps", "close", "volume", "observations", "observable", "turbulence"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(view, name)[...] = 0


@pytest.mark.parametrize(("scheme", "account"), KINDS)
def test_what_lies_outside_a_view_changes_nothing(scheme: Any, account: Any) -> None:
    """But for where a symbol's life ends, which only the whole market tells."""
    config = TradingConfig(scheme=scheme, account=account, stop_loss=0.05, max_participation=0.5)
    whole, other = (
        random_market(np.random.default_rng(3), 3, 60, ragged=True, missing=0.05, outages=0.05) for _ in range(2)
    )
    view = whole.between("2020-01-10", "2020-02-10")
    outside = np.r_[: view.first, view.stop : 60]
    other.block.prices[:, outside] *= 3.0
    other.block.details[:, outside, 0] *= 3.0
    other.block.observations[:, outside] = -1.0
    actions = random_actions(np.random.default_rng(4), whole, scheme, 0.2)
    ledgers = []
    for market in (whole, other):
        shown = market.between("2020-01-10", "2020-02-10")
        ledgers.append(simulate(Sequence(config, shown, actions).policy, shown, config))
    for name in ("equity", "cash", "position", "rewards", "actions", "tradable"):
        assert np.array_equal(getattr(ledgers[0], name), getattr(ledgers[1], name), equal_nan=True)
    assert ledgers[0].order_shares.any()


def test_bars_may_be_missing_and_nothing_is_filled_in(market: Market) -> None:
    bars, observations = tables(market)
    built = Market.from_tables(bars, observations)
    holes = ~built.alive[:, 1:-1] & built.alive[:, :-2] & built.has_later_bar[:, 1:-1]
    assert holes.any()
    for name in ("open", "high", "low", "close", "volume"):
        assert np.array_equal(np.isnan(getattr(built, name)), ~built.alive)
    assert not built.observable[~built.alive].any()
    for symbol, alive in enumerate(built.alive):
        last = np.flatnonzero(alive)[-1]
        assert np.flatnonzero(built.has_later_bar[symbol]).tolist() == list(range(last))
    early = built.between(None, built.timestamps[20])
    assert not early.has_later_bar[:, -1].any()


def lives(*rows: str) -> Market:
    """Symbols that have a bar where their row has an x."""
    alive = np.array([[letter == "x" for letter in row] for row in rows])
    prices = np.where(alive[..., None], np.ones(4), np.nan)
    days = np.datetime64("2020-01-01", "ns") + np.arange(alive.shape[1]) * np.timedelta64(1, "D")
    names = tuple(f"S{i}" for i in range(len(rows)))
    return Market(names, days, prices, np.zeros((*alive.shape, 0), np.float32), ())


def test_a_symbol_is_delisted_when_it_stays_away_longer_than_ever() -> None:
    market = lives(
        "xxxxxxxxxxxxxxxxxxxx",
        "xxxxxxxxxxxxxx......",  # six bars after its last
        "xxxxxxxxxxxxxxx.....",  # five, which an outage may last
        ".xx.......xxxx......",  # once away for seven
        ".xx......xxxx.......",  # once away for six, now for seven
        "..........x.........",
    )
    assert np.argwhere(market.delisted).tolist() == [[1, 13], [4, 12], [5, 10]]
    # What the view does not show counts too.
    view = market.between(market.timestamps[8], market.timestamps[15])
    assert np.argwhere(view.delisted).tolist() == [[1, 5], [4, 4], [5, 2]]


def test_volume_is_known_of_every_bar_or_not_at_all(market: Market) -> None:
    bars, observations = tables(market)
    middle = bars.index[10]
    for wrong in (np.nan, -1.0, np.inf):
        spoilt = bars.copy()
        spoilt.loc[middle, "volume"] = wrong
        assert Market.from_tables(spoilt, observations).volume is None
    assert Market.from_tables(bars.assign(volume=np.nan), observations).volume is None
    assert Market.from_tables(bars.drop(columns="volume"), observations).volume is None
    assert Market.from_tables(bars.assign(volume=0), observations).volume is not None


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
        (bars, stranger, "observations have the symbol S9"),
    ]
    for some_bars, some_observations, words in cases:
        with pytest.raises(UserError, match=words):
            Market.from_tables(some_bars, some_observations)
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
    with pytest.raises(UserError, match=r"volume of shape \(4, 50\), found \(50,\)"):
        Market(
            market.symbols,
            market.timestamps,
            market.block.prices,
            market.block.observations,
            market.observation_names,
            volume=np.zeros(50),
        )
