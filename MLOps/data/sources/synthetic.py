"""`data.source: synthetic`: a random walk in which a drift of known size is planted.

Each symbol's log return is `s·edge + volatility·z`, z standard normal, where the sign s = ±1 holds for a regime of
`regime_bars` bars on average (it flips with probability 1/regime_bars at each bar, a two-state Markov chain as in
Hamilton, 1989). The sign is shown by the volume, which is higher when the next bar drifts up: what a predictor can
know at bar t's close is exactly the drift of bar t+1. With `edge_bps: 0` volume tells nothing and nothing can be known.
"""

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import norm

from MLOps.config.data import DataConfig, SyntheticConfig
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


def best_probabilities(bars: pd.DataFrame, market: SyntheticConfig, threshold_delta: float) -> np.ndarray:
    """Bayes-optimal class probabilities: of fall, stationary and rise of each bar's next return.

    A forward filter (Rabiner, 1989) follows the hidden sign through what shows it: a bar's volume the coming sign, its
    open and close the present one. Given the sign, the next log return is normal.

    Args:
        bars: as `make_synthetic` made them from `market`.
        threshold_delta: a return beyond it, up or down, is a rise or a fall.

    Returns:
        (bars, 3), in the bars' order.
    """
    edge, volatility = market.edge_bps / 1e4, market.volatility_bps / 1e4
    flip = 1 / market.regime_bars
    traded_std = volatility * np.sqrt(1 - OVERNIGHT_SHARE)
    # Of two normals at ±mean, an observation x shifts the log odds by 2·mean·x / variance.
    from_path = 2 * edge * np.log(bars["close"] / bars["open"]).to_numpy() / traded_std**2
    shown = VOLUME_SIGNAL * (edge > 0)
    from_volume = 2 * shown * np.log(bars["volume"] / VOLUME_SHARES).to_numpy() / (VOLUME_SIGNAL / 2) ** 2
    first = (bars["symbol"] != bars["symbol"].shift()).to_numpy()
    up = np.empty(len(bars))
    for t in range(len(bars)):
        present = _shifted(0.5 if first[t] else up[t - 1], from_path[t])
        up[t] = _shifted(present * (1 - flip) + (1 - present) * flip, from_volume[t])
    cuts = np.log1p([-threshold_delta, threshold_delta])
    below = {sign: norm.cdf((cuts - sign * edge) / volatility) for sign in (-1, 1)}
    given = {sign: np.array([low, high - low, 1 - high]) for sign, (low, high) in below.items()}
    return up[:, None] * given[1] + (1 - up[:, None]) * given[-1]


def _shifted(probability: float, log_odds: float) -> float:
    """The probability after evidence."""
    return float(expit(logit(probability) + log_odds))
