"""`data.source: synthetic`: a random walk in which a drift of known size is planted.

Each symbol's log return is `s·edge + volatility·z`, z standard normal, where the sign s = ±1 holds for a regime of
`regime_bars` bars on average (it flips with probability 1/regime_bars at each bar, a two-state Markov chain as in
Hamilton, 1989). The sign is shown by the volume, which is higher when the next bar drifts up: what a predictor can
know at bar t's close is exactly the drift of bar t+1. With `edge_bps: 0` volume tells nothing and nothing can be known.
"""

import numpy as np
import pandas as pd

from MLOps.config.data import DataConfig
from MLOps.data.bars import COLUMNS, check_bars

START = "2000-01-03"
OVERNIGHT_SHARE = 0.25  # of a bar's variance, between the close and the next open; the rest is traded through
RANGE_STEPS = 8  # steps of the intrabar path that gives high and low
VOLUME_SHARES = 1e6
VOLUME_SIGNAL = 0.5  # log volume moves by this much with the coming sign, in units of its own noise


def make_synthetic(config: DataConfig, seed: int) -> pd.DataFrame:
    """Bars of `data.synthetic.symbols` symbols, the same for the same seed."""
    market = config.synthetic
    generator = np.random.default_rng(seed)
    timestamps = pd.bdate_range(START, periods=market.bars, tz="UTC").astype("datetime64[us, UTC]")
    edge, volatility = market.edge_bps / 1e4, market.volatility_bps / 1e4
    tables = []
    for number in range(market.symbols):
        flips = generator.random(market.bars) < 1 / market.regime_bars
        sign = np.where((np.cumsum(flips) + generator.integers(2)) % 2 == 0, 1.0, -1.0)
        # A bar is its overnight jump, then a path of equal steps; the drift lies in the path, where it can be traded.
        jump = generator.standard_normal(market.bars) * volatility * np.sqrt(OVERNIGHT_SHARE)
        steps = generator.standard_normal((market.bars, RANGE_STEPS))
        steps = steps * volatility * np.sqrt((1 - OVERNIGHT_SHARE) / RANGE_STEPS) + (sign * edge / RANGE_STEPS)[:, None]
        path = np.cumsum(steps, axis=1)
        opened = np.concatenate([[0.0], np.cumsum(jump + path[:, -1])[:-1]]) + jump
        coming = np.roll(sign, -1) * (market.edge_bps > 0)
        log_volume = VOLUME_SIGNAL * coming + generator.standard_normal(market.bars) * VOLUME_SIGNAL / 2
        tables.append(
            pd.DataFrame(
                {
                    "timestamp": timestamps,
                    "symbol": f"SYN{number:02d}",
                    "open": 100 * np.exp(opened),
                    "high": 100 * np.exp(opened + np.maximum(path.max(axis=1), 0)),
                    "low": 100 * np.exp(opened + np.minimum(path.min(axis=1), 0)),
                    "close": 100 * np.exp(opened + path[:, -1]),
                    "volume": VOLUME_SHARES * np.exp(log_volume),
                }
            )
        )
    return check_bars(pd.concat(tables, ignore_index=True)[list(COLUMNS)], "data.synthetic")
