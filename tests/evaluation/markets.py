"""Markets whose truth is known, for verdicts on predictors: nothing to know, volatility to know, direction to know."""

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from MLOps.config.labels import UNKNOWN
from MLOps.config.splits import SplitConfig
from MLOps.config.validation import ValidationConfig
from MLOps.data.splits import Splits
from MLOps.predictors.baselines import class_prior
from MLOps.predictors.contract import Forecast
from MLOps.predictors.signals import signal_table

DAILY_VOLATILITY = 0.01
CONFIG = ValidationConfig(confidence=0.9, ensemble="mean")
# Half of the bars judge: a long horizon then needs a shorter market.
SPLITS = SplitConfig(train=0.4, validation=0.5, test=0.1, embargo_bars=5, folds=2)


def bars_of(returns: np.ndarray, frequency: str, generator: np.random.Generator) -> pd.DataFrame:
    """Bars in contract form from log returns (symbols, bars): opens near the last close, range and volume by chance."""
    symbols, bars = returns.shape
    stamps = pd.date_range("2020-01-06", periods=bars, freq=frequency, tz="UTC").astype("datetime64[us, UTC]")
    close = 100 * np.exp(np.cumsum(returns, axis=1))
    opened = np.concatenate([np.full((symbols, 1), 100.0), close[:, :-1]], axis=1)
    opened = opened * np.exp(generator.normal(0, 0.002, close.shape))
    reach = np.abs(generator.normal(0, 0.005, (2, *close.shape)))
    return pd.DataFrame(
        {
            "timestamp": np.tile(stamps, symbols),
            "symbol": np.repeat([f"S{number:02d}" for number in range(symbols)], bars),
            "open": opened.ravel(),
            "high": (np.maximum(opened, close) * np.exp(reach[0])).ravel(),
            "low": (np.minimum(opened, close) * np.exp(-reach[1])).ravel(),
            "close": close.ravel(),
            "volume": generator.lognormal(13, 0.3, close.size),
        }
    )


def random_walk(symbols: int, bars: int, seed: int, frequency: str = "B") -> pd.DataFrame:
    """Normal returns, half of whose variance all symbols share."""
    generator = np.random.default_rng(seed)
    shared, own = generator.standard_normal(bars), generator.standard_normal((symbols, bars))
    return bars_of(DAILY_VOLATILITY * (shared + own) / np.sqrt(2), frequency, generator)


def garch(symbols: int, bars: int, seed: int, news: float = 0.15, memory: float = 0.8) -> pd.DataFrame:
    """A martingale with symmetric moves whose volatility can be known: GARCH(1, 1) with Student's t (Bollerslev, 1987).

    `news` and `memory` are the weights of the last squared return and of the last variance.
    """
    generator = np.random.default_rng(seed)
    shocks = generator.standard_t(6, (symbols, bars)) / np.sqrt(6 / 4)
    returns, variance = np.empty_like(shocks), np.full(symbols, DAILY_VOLATILITY**2)
    for bar in range(bars):
        returns[:, bar] = np.sqrt(variance) * shocks[:, bar]
        variance = (1 - news - memory) * DAILY_VOLATILITY**2 + news * returns[:, bar] ** 2 + memory * variance
    return bars_of(returns, "B", generator)


def shown_direction(symbols: int, bars: int, seed: int, edge: float = 0.002) -> pd.DataFrame:
    """Direction to know: each return drifts up or down by `edge`, and the volume of the bar before shows which way."""
    generator = np.random.default_rng(seed)
    drift = generator.choice([-1.0, 1.0], (symbols, bars))
    table = bars_of(DAILY_VOLATILITY * generator.standard_normal((symbols, bars)) + edge * drift, "B", generator)
    return table.assign(volume=table["volume"] * np.exp(np.roll(drift, -1, axis=1).ravel()))


def unlike(kind: str, seed: int) -> pd.DataFrame:
    """Random walks over timelines of different kinds."""
    generator = np.random.default_rng([seed, 1])
    if kind == "hourly, one symbol":
        return random_walk(1, 900, seed, "h")
    if kind == "five minutes with outages":
        table = random_walk(2, 1100, seed, "5min")
        place = table.groupby("symbol").cumcount()
        return table[~place.between(300, 380) & ~place.between(800, 806)].reset_index(drop=True)
    if kind == "symbols that trade seldom":
        table = random_walk(6, 1500, seed)
        return table[generator.random(len(table)) < 0.3].reset_index(drop=True)
    assert kind == "thirty symbols, some listed late or ended early"
    table = random_walk(30, 500, seed)
    number, place = table["symbol"].str[1:].astype(int), table.groupby("symbol").cumcount()
    alive = ~((number % 5 == 1) & (place < 260)) & ~((number % 7 == 2) & (place > 330))
    return table[alive].reset_index(drop=True)


def ignorant_signals(
    labels: pd.DataFrame, splits: Splits, classes: tuple[str, ...], seed: int, tilt: float = 0.1, memory: float = 0.98
) -> pd.DataFrame:
    """Forecasts that know the class prior and nothing else: log odds tilted by noise that changes slowly.

    Slow noise beside labels that overlap is the hardest case: each chance agreement lasts for a horizon.
    """
    generator = np.random.default_rng(seed)
    known = labels.loc[splits.train.labelled(labels), "label"].to_numpy(int)
    prior = class_prior(known[known != UNKNOWN], len(classes))
    noise = generator.standard_normal((len(labels), len(classes)))
    noise = lfilter([np.sqrt(1 - memory**2)], [1, -memory], noise, axis=0)
    weights = prior * np.exp(tilt * noise)
    probabilities = weights / weights.sum(axis=1, keepdims=True)
    return signal_table(labels, Forecast.from_probabilities(probabilities, np.zeros(len(classes))), classes)
