"""Spread of a result over the seeds of one experiment.

Agarwal et al. (2021), "Deep Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS.
"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import trim_mean

TRIMMED = 0.25  # of the values at each end, in the interquartile mean
# Of the bootstrap interval; the paper, too, gives 95 % intervals.
CONFIDENCE, RESAMPLES = 0.95, 2000


def seed_spread(values: Sequence[float], seed: int) -> dict[str, float]:
    """Median, interquartile mean (`iqm`) and interquartile range (`iqr`) of one value a seed.

    With two seeds or more also `iqm_lower` and `iqm_upper`, the bounds of a percentile bootstrap interval of the
    interquartile mean. With few seeds such an interval is too narrow: it never reaches beyond the values seen.

    Args:
        seed: of the resampling.
    """
    array = np.asarray(values, float)
    low, middle, high = np.quantile(array, [0.25, 0.5, 0.75])
    spread = {"median": middle, "iqm": trim_mean(array, TRIMMED), "iqr": high - low}
    if len(array) > 1:
        drawn = np.random.default_rng(seed).choice(array, (RESAMPLES, len(array)))
        tail = (1 - CONFIDENCE) / 2
        spread["iqm_lower"], spread["iqm_upper"] = np.quantile(trim_mean(drawn, TRIMMED, axis=1), [tail, 1 - tail])
    return {name: float(value) for name, value in spread.items()}
