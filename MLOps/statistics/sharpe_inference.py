"""Inference about Sharpe ratios per bar: probabilities, intervals and differences.

All ratios are per bar, not annualised: mean over sample standard deviation, the benchmark or risk-free return already
subtracted where there is one. A series that never varies, like the returns of an agent that never trades, has Sharpe
ratio 0 without error, as in `returns.sharpe`.

Bailey & López de Prado (2012), "The Sharpe Ratio Efficient Frontier", Journal of Risk 15(2).
Bailey & López de Prado (2014), "The Deflated Sharpe Ratio", Journal of Portfolio Management 40(5).
Lo (2002), "The Statistics of Sharpe Ratios", Financial Analysts Journal 58(4).
Ledoit & Wolf (2008), "Robust Performance Hypothesis Testing with the Sharpe Ratio", Journal of Empirical Finance 15(5).
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import kurtosis, norm, skew

from MLOps.statistics.bootstrap import block_sums, circular_block_bars
from MLOps.statistics.dependent_mean import interval, required_bars, standard_error
from MLOps.statistics.returns import NO_VARIATION, sharpe
from MLOps.statistics.series import checked

LEAST_BARS = required_bars(overlap_bars=1)  # for an interval
ROUNDING = 1e-9  # of the variance: a resample with less does not vary, but for the rounding of sums
CHUNK = 2_000_000  # values of the bootstrap that are in memory at a time


@dataclass(frozen=True)
class Difference:
    """An estimated difference of Sharpe ratios per bar.

    Attributes:
        lower, upper: bounds of the two-sided confidence interval.
        p_value: one-sided, of the hypothesis that the first ratio is not higher than the second.
    """

    value: float
    lower: float
    upper: float
    p_value: float


def probabilistic_sharpe(returns: np.ndarray, benchmark: float = 0.0) -> float:
    """Probability that the true Sharpe ratio exceeds `benchmark` (Bailey & López de Prado, 2012).

    Φ((SR - SR*) √(n - 1) / √(1 - γ₃ SR + (γ₄ - 1)/4 SR²)) with the skewness γ₃ and the kurtosis γ₄ (3 for a normal) of
    the returns (n,). Assumes returns independent over time. Returns that never vary have γ₃ = 0 and γ₄ = 3.

    Raises:
        ValueError: fewer than two returns, or one that is not finite.
    """
    returns = checked(returns, least_bars=2)
    excess = sharpe(returns, 1) - benchmark
    return float(norm.cdf(excess * np.sqrt((len(returns) - 1) / _variance_factor(returns))))


def expected_highest_sharpe(standard_deviation: float, trials: int) -> float:
    """Expected highest of the Sharpe ratios of independent trials without skill (Bailey & López de Prado, 2014).

    σ ((1 - γ) Φ⁻¹(1 - 1/N) + γ Φ⁻¹(1 - 1/(N e))) with the Euler-Mascheroni constant γ; 0 for a single trial.

    Args:
        standard_deviation: σ, of the Sharpe ratios over the trials.
        trials: N.

    Raises:
        ValueError: no trial, or a standard deviation that is negative or not finite.
    """
    if trials < 1 or not 0 <= standard_deviation < math.inf:
        raise ValueError(f"expected trials ≥ 1 and a finite deviation ≥ 0, found {trials} and {standard_deviation}")
    if trials == 1:
        return 0.0
    highest, beyond = norm.isf([1 / trials, 1 / (trials * np.e)])
    return float(standard_deviation * ((1 - np.euler_gamma) * highest + np.euler_gamma * beyond))


def deflated_sharpe(returns: np.ndarray, trial_sharpes: np.ndarray) -> float:
    """Probability that the true Sharpe ratio exceeds 0, after the best of several trials was chosen.

    The probabilistic Sharpe ratio against the expected highest ratio of as many trials without skill (Bailey & López
    de Prado, 2014). All trials count as independent: near copies of a few unlike trials deflate too much.

    Args:
        trial_sharpes: Sharpe ratio per bar of every trial, the one of `returns` included; of one trial alone there is
            nothing to deflate.

    Raises:
        ValueError: see `probabilistic_sharpe`; no trial, or a ratio that is not finite.
    """
    ratios = checked(trial_sharpes, least_bars=1)
    deviation = float(ratios.std(ddof=1)) if len(ratios) > 1 else 0.0
    return probabilistic_sharpe(returns, expected_highest_sharpe(deviation, len(ratios)))


def min_track_record_bars(returns: np.ndarray, benchmark: float, confidence: float) -> float:
    """Number of bars from which on `probabilistic_sharpe` reaches `confidence`, were the estimates to stay as they are.

    1 + (1 - γ₃ SR + (γ₄ - 1)/4 SR²) (Φ⁻¹(confidence) / (SR - SR*))² (Bailey & López de Prado, 2012); infinite when the
    estimate does not exceed `benchmark`.

    Args:
        confidence: between 0.5 and 1.

    Raises:
        ValueError: see `probabilistic_sharpe`; or a confidence out of range.
    """
    if not 0.5 <= confidence < 1:
        raise ValueError(f"expected a confidence from 0.5 to below 1, found {confidence}")
    returns = checked(returns, least_bars=2)
    excess = sharpe(returns, 1) - benchmark
    return float(1 + _variance_factor(returns) * (norm.ppf(confidence) / excess) ** 2) if excess > 0 else math.inf


def sharpe_interval(returns: np.ndarray, confidence: float) -> tuple[float, float]:
    """Two-sided interval for the Sharpe ratio of returns (n,), robust to autocorrelation and to fat tails.

    The delta method of Lo (2002): the error of the ratio is the mean of z - SR/2 (z² - 1), where z are the
    standardised returns, and that mean's long-run variance gives the interval. The variance is the equal-weighted
    cosine estimate with Student's quantile (`dependent_mean.interval`), in place of Lo's Newey-West estimate with the
    normal quantile, which tends to cover too rarely. Assumes stationary returns with finite fourth moments.

    Raises:
        ValueError: fewer than `LEAST_BARS` returns, or one that is not finite.
    """
    returns = checked(returns, LEAST_BARS)
    bounds = interval(sharpe(returns, 1) + _errors(returns), confidence, overlap_bars=1)
    assert bounds is not None  # there are enough bars
    return bounds


def sharpe_difference(
    ours: np.ndarray, theirs: np.ndarray, confidence: float, samples: int, seed: int, block_bars: int | None = None
) -> Difference:
    """Difference of the Sharpe ratios of two series over the same bars (n,), by the studentised block bootstrap.

    Ledoit & Wolf (2008): both series are resampled together in circular blocks, and each resample's difference is
    divided by its standard error from the sums of the blocks. The interval is symmetric, from the absolute values; the
    p-value (#{resamples not below the data} + 1) / (samples + 1) takes the sign into account. The standard error
    of the data is the equal-weighted cosine estimate (`dependent_mean.standard_error`), where the paper has a
    prewhitened kernel estimate. Assumes stationary returns with finite fourth moments.

    Series that have the same Sharpe ratio whatever the bars, like one and its double, differ by 0 without error, with
    p-value 1. Resamples in which neither series varies are left out.

    Args:
        block_bars: None chooses it by the rule of Politis & White (`bootstrap.circular_block_bars`), in place of the
            paper's calibration by simulation.

    Raises:
        ValueError: fewer than `LEAST_BARS` returns, one that is not finite, or unequal lengths.
    """
    ours, theirs = checked(ours, LEAST_BARS), checked(theirs, LEAST_BARS)
    if len(ours) != len(theirs):
        raise ValueError(f"expected returns over the same bars, found {len(ours)} and {len(theirs)}")
    value = sharpe(ours, 1) - sharpe(theirs, 1)
    errors = _errors(ours) - _errors(theirs)
    if errors.std() <= NO_VARIATION:
        return Difference(value, value, value, 1.0)
    error = standard_error(errors)
    block_bars = circular_block_bars(errors) if block_bars is None else min(block_bars, len(errors))
    generator, blocks = np.random.default_rng(seed), len(errors) // block_bars
    studentised = []
    for first in range(0, samples, per_chunk := max(1, CHUNK // blocks)):
        starts = generator.integers(0, len(errors), (min(per_chunk, samples - first), blocks))
        our_sharpe, our_errors = _resampled(ours, starts, block_bars)
        their_sharpe, their_errors = _resampled(theirs, starts, block_bars)
        resampled_error = np.sqrt(((our_errors - their_errors) ** 2).sum(axis=1)) / (blocks * block_bars)
        varies = resampled_error > NO_VARIATION
        studentised.append((our_sharpe - their_sharpe - value)[varies] / resampled_error[varies])
    resamples = np.concatenate(studentised)
    half = float(np.quantile(np.abs(resamples), confidence, method="higher")) * error
    p_value = (np.count_nonzero(resamples >= value / error) + 1) / (len(resamples) + 1)
    return Difference(value, value - half, value + half, float(p_value))


def _variance_factor(returns: np.ndarray) -> float:
    """n - 1 times the variance of the estimated Sharpe ratio of independent returns: 1 - γ₃ SR + (γ₄ - 1)/4 SR²."""
    if returns.std(ddof=1) <= NO_VARIATION:
        return 1.0
    ratio = sharpe(returns, 1)
    factor = 1 - skew(returns) * ratio + (kurtosis(returns, fisher=False) - 1) / 4 * ratio**2
    # Never negative, as γ₄ ≥ 1 + γ₃², but for rounding at the bound.
    return max(float(factor), NO_VARIATION)


def _errors(returns: np.ndarray) -> np.ndarray:
    """The influence function of the Sharpe ratio at each bar (n,): its mean is the ratio's error, to first order."""
    deviation = returns.std()
    if deviation <= NO_VARIATION:
        return np.zeros(len(returns))
    standardised = (returns - returns.mean()) / deviation
    return standardised - returns.mean() / deviation / 2 * (standardised**2 - 1)


def _resampled(returns: np.ndarray, starts: np.ndarray, block_bars: int) -> tuple[np.ndarray, np.ndarray]:
    """Sharpe ratio (samples,) of resamples, and the sum of `_errors` in each of their blocks (samples, blocks).

    Args:
        starts: (samples, blocks) first bars of the blocks.
    """
    centre, bars = returns.mean(), starts.shape[1] * block_bars
    first = block_sums(returns - centre, block_bars)[starts]
    second = block_sums((returns - centre) ** 2, block_bars)[starts]
    mean = first.sum(axis=1, keepdims=True) / bars
    variance = np.maximum(second.sum(axis=1, keepdims=True) / bars - mean**2, 0)
    varies = variance > ROUNDING * returns.var()
    deviation = np.sqrt(np.where(varies, variance, 1))
    ratio = np.where(varies, (centre + mean) / deviation, 0)
    standardised = (first - block_bars * mean) / deviation
    squared = (second - 2 * mean * first + block_bars * mean**2) / deviation**2
    errors = np.where(varies, standardised - ratio / 2 * (squared - block_bars), 0)
    return ratio[:, 0] * np.sqrt((bars - 1) / bars), errors
