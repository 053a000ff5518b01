"""Probability of backtest overfitting, by combinatorially symmetric cross-validation (CSCV).

Bailey, Borwein, López de Prado & Zhu (2017), "The Probability of Backtest Overfitting", Journal of Computational
Finance 20(4).
"""

from itertools import combinations

import numpy as np
from scipy.stats import rankdata

from MLOps.statistics.returns import NO_VARIATION
from MLOps.statistics.series import checked

ROUNDING = 1e-6  # of the deviation over all bars: a half with less does not vary, but for the rounding of sums


def probability_of_overfitting(returns: np.ndarray, blocks: int = 16) -> float:
    """How often the trial with the highest Sharpe ratio on half of the bars is not above the median on the other half.

    The bars are cut into `blocks` blocks in order of time, and every choice of half of them is one split. 0.5 is
    expected of trials without skill. Blocks differ by at most one bar in length, where the paper drops the bars that
    are left over. Tied trials have their mean rank, and trials that tie for the highest are chosen equally often. A
    trial that never varies in a half has Sharpe ratio 0 there.

    Args:
        returns: (bars, trials), in order of time; all trials over the same bars.
        blocks: even; 16 give 12 870 splits.

    Raises:
        ValueError: fewer than two trials, fewer than two bars a block, an odd number of blocks, or a return that is not
            finite.
    """
    if blocks < 2 or blocks % 2:
        raise ValueError(f"expected an even number of blocks, found {blocks}")
    returns = checked(returns, least_bars=2 * blocks, dimensions=2)
    if returns.shape[1] < 2:
        raise ValueError(f"expected at least two trials, found {returns.shape[1]}")
    splits = np.array(list(combinations(range(blocks), blocks // 2)))
    chosen = np.zeros((len(splits), blocks))
    np.put_along_axis(chosen, splits, 1.0, axis=1)
    least_deviation = np.maximum(ROUNDING * returns.std(axis=0), NO_VARIATION)
    centre = returns.mean(axis=0)  # sums of squares of large numbers would cancel
    cut = np.array_split(returns - centre, blocks)
    bars = np.array([[len(block)] for block in cut])
    sums, squares = np.array([block.sum(axis=0) for block in cut]), np.array([(block**2).sum(axis=0) for block in cut])

    def sharpes(half: np.ndarray) -> np.ndarray:
        count = half @ bars
        mean = half @ sums / count
        deviation = np.sqrt(np.maximum((half @ squares - count * mean**2) / (count - 1), 0))
        varies = deviation > least_deviation
        return np.where(varies, (centre + mean) / np.where(varies, deviation, 1), 0)

    in_sample = sharpes(chosen)
    best = in_sample == in_sample.max(axis=1, keepdims=True)
    # The paper's logit ln(ω / (1 - ω)) of ω = rank / (trials + 1) is at most 0 for ranks up to the median.
    not_above = rankdata(sharpes(1 - chosen), axis=1) <= (returns.shape[1] + 1) / 2
    return float(((best & not_above).sum(axis=1) / best.sum(axis=1)).mean())
