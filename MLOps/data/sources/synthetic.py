"""`data.source: synthetic`: a random walk with a drift of known size.

Each symbol's log return is `s·edge + volatility·z`, z standard normal. The sign s = ±1 flips with probability
1/regime_bars at each bar, so that regimes last `regime_bars` bars on average (a two-state Markov chain as in Hamilton,
1989). Volume signals the sign: it is higher when the next bar drifts up, so the predictable part of bar t+1, seen from
bar t's close, is exactly its drift. With `edge_bps: 0` volume carries no signal and returns are unpredictable.
"""

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import norm

from MLOps.config.data import DataConfig, SyntheticConfig
from MLOps.data.bars import COLUMNS, check_bars

START = "2000-01-03"
OVERNIGHT_SHARE = 0.25  # share of a bar's variance between the previous close and its open
RANGE_STEPS = 8  # steps of the intrabar path that gives high and low
VOLUME_SHARES = 1e6
VOLUME_SIGNAL = 0.5  # shift of log volume with the next bar's sign, in units of its own noise


def make_synthetic(config: DataConfig, seed: int) -> pd.DataFrame:
    """Bars of `data.synthetic.symbols` symbols, the same for the same seed."""
    market = config.synthetic
    generator = np.random.default_rng(seed)
    timestamps = pd.bdate_range(START, periods=market.bars, tz="UTC").astype("datetime64[us, UTC]")
    edge, volatility = market.edge_bps / 1e4, market.volatility_bps / 1e4
    tables, digits = [], max(2, len(str(market.symbols - 1)))
    for number in range(market.symbols):
        flips = generator.random(market.bars) < 1 / market.regime_bars
        sign = np.where((np.cumsum(flips) + generator.integers(2)) % 2 == 0, 1.0, -1.0)
        # A bar is an overnight jump and a path of equal steps; the drift is in the path, so it can be traded.
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
                    "symbol": f"SYN{number:0{digits}d}",
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
    """Bayes-optimal probabilities of the classes fall, stationary and rise of each bar's next return.

    A forward filter (Rabiner, 1989) tracks the hidden sign from its observations: a bar's volume depends on the next
    sign, its open and close on the present one. Given the sign, the next log return is normal.

    Args:
        bars: made by `make_synthetic` from `market`.
        threshold_delta: a return above it is a rise, one below its negative a fall.

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
    """The probability after its log odds have been shifted by `log_odds`."""
    return float(expit(logit(probability) + log_odds))
