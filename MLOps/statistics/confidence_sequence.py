"""Confidence sequence for a mean: intervals that hold at all times together, so that one may look after every value.

Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024), "Time-uniform central limit theory and asymptotic confidence
sequences", Annals of Statistics 52(6): Robbins' normal mixture with the variance estimated from the values.
"""

import math

import numpy as np

MIN_VALUES = 30  # before, the estimated variance is too uncertain for a bound that holds at all times


def mean_sequence(values: np.ndarray, confidence: float, tightest_at: int) -> tuple[np.ndarray, np.ndarray]:
    """Two-sided intervals for the mean after each of the values, which lie along the last axis in order of time.

        mean ± sd · sqrt(2 (t ρ² + 1) / (t² ρ²) · log(sqrt(t ρ² + 1) / (1 - confidence)))

    The probability that any of them misses the mean is 1 - confidence, in the limit of many values, for values whose
    mean given the past is constant; their variance may change.

    Args:
        tightest_at: number of values at which the interval is about as tight as it can be; gives ρ.

    Returns:
        Lower and upper bounds, infinite before `MIN_VALUES` values.
    """
    alpha = 1 - confidence
    rho2 = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha)) + 1) / tightest_at
    t = np.arange(1, values.shape[-1] + 1)
    mean = np.cumsum(values, axis=-1) / t
    variance = (np.cumsum(values**2, axis=-1) - t * mean**2) / np.maximum(t - 1, 1)
    factor = np.sqrt(2 * (t * rho2 + 1) / (t**2 * rho2) * np.log(np.sqrt(t * rho2 + 1) / alpha))
    half = np.where(t < MIN_VALUES, np.inf, np.sqrt(np.maximum(variance, 0)) * factor)
    return mean - half, mean + half
