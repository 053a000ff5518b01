"""Small markets for tests of the evaluation."""

import numpy as np
import pandas as pd

from MLOps.trading import Market


def market_of(closes: np.ndarray, days: int = 1, observed: np.ndarray | None = None) -> Market:
    """Symbols (S, B) that open where they closed before; NaN where a symbol has no bar.

    To observe there are the columns of `observed` (S, B, columns), or one constant.
    """
    closes = np.atleast_2d(closes)
    before = np.concatenate([closes[:, :1], closes[:, :-1]], axis=1)
    opened = np.where(np.isnan(before) | np.isnan(closes), closes, before)
    prices = np.stack([opened, np.maximum(opened, closes), np.minimum(opened, closes), closes], axis=2)
    symbols, bars = closes.shape
    timestamps = pd.date_range("2020-01-01", periods=bars, freq=f"{days}D").to_numpy()
    names = tuple(f"S{number:02d}" for number in range(symbols))
    if observed is None:
        return Market(names, timestamps, prices, np.zeros((symbols, bars, 1), np.float32), ("constant",))
    columns = tuple(f"column_{number}" for number in range(observed.shape[2]))
    return Market(names, timestamps, prices, observed.astype(np.float32), columns)


def random_walk(seed: int, symbols: int, bars: int, drift: float = 0.0, volatility: float = 0.01) -> np.ndarray:
    """Closes (symbols, bars)."""
    steps = np.random.default_rng(seed).normal(drift, volatility, (symbols, bars))
    return 100 * np.exp(np.cumsum(steps, axis=1))
