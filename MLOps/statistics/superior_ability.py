"""Whether the best of several trials earns more than a benchmark, and which do.

Hansen (2005), "A Test for Superior Predictive Ability", Journal of Business & Economic Statistics 23(4).
Romano & Wolf (2005), "Stepwise Multiple Testing as Formalized Data Snooping", Econometrica 73(4).

The resampling is arch's. Its classes SPA and StepM are not used: they do not divide by the standard errors (their
option `studentize` affects only which trials count as poor), so that the most volatile trial decides, and their time
grows with the square of the number of bars.
"""

import numpy as np
from arch.bootstrap import StationaryBootstrap
from scipy.fft import irfft, next_fast_len, rfft

from MLOps.statistics.bootstrap import stationary_block_bars
from MLOps.statistics.returns import NO_VARIATION
from MLOps.statistics.series import checked

LEAST_BARS = 16


def superior_ability_p_value(benchmark: np.ndarray, trials: np.ndarray, samples: int, seed: int) -> float:
    """P-value of Hansen's hypothesis that no trial has a higher mean return than the benchmark (consistent version).

    Args:
        benchmark: returns (bars,).
        trials: returns (bars, n) over the same bars.

    Returns:
        The share of resamples whose highest studentised mean exceeds that of the data; 1 if all trials differ from the
        benchmark by a constant, like copies of it.

    Raises:
        ValueError: no trial, fewer than 16 bars, unequal lengths, or a return that is not finite.
    """
    means, resampled, _ = _studentised(benchmark, trials, samples, seed)
    return float((resampled.max(axis=1) > means.max()).mean()) if len(means) else 1.0


def superior_models(benchmark: np.ndarray, trials: np.ndarray, size: float, samples: int, seed: int) -> list[int]:
    """Columns of the trials with a higher mean return than the benchmark, by the stepwise test of Romano and Wolf.

    The probability of naming a single one wrongly is `size`. Trials that are found leave the comparison, and the rest
    is tested against the resamples of the rest, until none is found. Arguments and errors as in
    `superior_ability_p_value`.
    """
    means, resampled, columns = _studentised(benchmark, trials, samples, seed)
    left = np.ones(len(means), bool)
    while left.any():
        found = left & (means > np.quantile(resampled[:, left].max(axis=1), 1 - size))
        if not found.any():
            break
        left &= ~found
    return [int(column) for column in columns[~left]]


def _studentised(
    benchmark: np.ndarray, trials: np.ndarray, samples: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean excess returns over their standard errors, (k,) of the data and (samples, k) under the hypothesis.

    And the k columns of the trials that they are of: those whose excess varies. The resamples are recentred at 0,
    except for trials so poor that they cannot be the best: these keep their mean, as Hansen's test requires.
    """
    trials, benchmark = checked(trials, LEAST_BARS, dimensions=2), checked(benchmark, LEAST_BARS)
    if len(trials) != len(benchmark) or trials.shape[1] == 0:
        raise ValueError(f"expected trials over the benchmark's {len(benchmark)} bars, found shape {trials.shape}")
    excess = trials - benchmark[:, None]
    columns = np.flatnonzero(excess.std(axis=0) > NO_VARIATION)
    if len(columns) == 0:
        return np.empty(0), np.empty((samples, 0)), columns
    excess = excess[:, columns]
    bars, block_bars = len(excess), stationary_block_bars(excess)
    excess /= np.sqrt(_stationary_variance(excess, block_bars) / bars)
    means = excess.mean(axis=0)
    # How often each bar is drawn, times the excess: much faster than a resample of every column.
    bootstrap = StationaryBootstrap(block_bars, np.arange(bars), seed=np.random.default_rng(seed))
    resampled = bootstrap.apply(lambda drawn: np.bincount(drawn, minlength=bars) @ excess / bars, samples)
    poor = means < -np.sqrt(2 * np.log(np.log(bars)))
    return means, resampled - np.where(poor, 0, means), columns


def _stationary_variance(series: np.ndarray, block_bars: int) -> np.ndarray:
    """(n,): variance under the stationary bootstrap of √bars · mean of series (bars, n); Politis & Romano (1994)."""
    bars = len(series)
    spectrum = rfft(series - series.mean(axis=0), n=next_fast_len(2 * bars), axis=0)
    covariances = irfft(np.abs(spectrum) ** 2, n=next_fast_len(2 * bars), axis=0)[:bars] / bars
    lags, go_on = np.arange(1, bars), 1 - 1 / block_bars
    weights = (1 - lags / bars) * go_on**lags + lags / bars * go_on ** (bars - lags)
    return np.asarray(covariances[0] + 2 * weights @ covariances[1:])
