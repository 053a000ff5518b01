"""Policies that any agent must be compared with; they trade on the same kernel, at the same costs."""

import numpy as np
import pandas as pd

from MLOps.config.params import BacktestConfig
from MLOps.features.windows import rolling_mean
from MLOps.predictors.ensemble import ENSEMBLE
from MLOps.predictors.signals import probability_columns
from MLOps.trading import Action, Market
from MLOps.trading.simulation import Policy


def flat() -> Policy:
    """Never trades."""
    return lambda observations, symbols, bar: np.full(len(symbols), Action.HOLD)


def buy_and_hold() -> Policy:
    """Spends all cash at its first bar of each symbol, and holds."""
    bought: set[int] = set()

    def policy(observations: np.ndarray, symbols: np.ndarray, bar: int) -> np.ndarray:
        actions = [Action.HOLD if symbol in bought else Action.BUY_100 for symbol in symbols]
        bought.update(symbols)
        return np.array(actions)

    return policy


def random(seed: int) -> Policy:
    """Any of the nine actions, each as likely."""
    generator = np.random.default_rng(seed)
    return lambda observations, symbols, bar: generator.integers(len(Action), size=len(symbols))


def moving_average_cross(bars: pd.DataFrame, market: Market, config: BacktestConfig) -> Policy:
    """Long while the fast mean of closes is above the slow one, flat otherwise.

    Args:
        bars: with the history before the market's first bar, for the means to be warm.
    """
    return _long_while(
        {
            str(symbol): pd.Series(
                rolling_mean(own["close"].to_numpy(), config.moving_average_fast_bars)
                > rolling_mean(own["close"].to_numpy(), config.moving_average_slow_bars),
                index=own["timestamp"],
            )
            for symbol, own in bars.groupby("symbol")
        },
        market,
    )


def predictor_sign(signals: pd.DataFrame, market: Market) -> Policy:
    """Long while the ensemble gives the upper half of the classes more probability than the lower, flat otherwise."""
    own = signals[signals["predictor"] == ENSEMBLE]
    names = probability_columns(own)
    lower, upper = names[: len(names) // 2], names[-(len(names) // 2) :]
    return _long_while(
        {
            str(symbol): (rows[upper].sum(axis=1) > rows[lower].sum(axis=1)).set_axis(rows["timestamp"])
            for symbol, rows in own.groupby("symbol")
        },
        market,
    )


def _long_while(wanted: dict[str, pd.Series], market: Market) -> Policy:
    clock = pd.DatetimeIndex(market.timestamps).tz_localize("UTC")
    long = np.stack([wanted[symbol].reindex(clock, fill_value=False).to_numpy(bool) for symbol in market.symbols])
    held = np.zeros(len(market.symbols), dtype=bool)

    def policy(observations: np.ndarray, symbols: np.ndarray, bar: int) -> np.ndarray:
        want = long[symbols, bar]
        actions = np.select([want & ~held[symbols], ~want & held[symbols]], [Action.BUY_100, Action.CLOSE], Action.HOLD)
        held[symbols] = want
        return actions

    return policy
