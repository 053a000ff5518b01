"""Series of returns with known statistics, as unlike each other as real ones."""

import numpy as np
from scipy.optimize import fsolve
from scipy.signal import lfilter
from scipy.stats import kurtosis, norm, skew

# Each (bars,): daily shares, hourly crypto around the clock, few trades, 5-minute bars with an outage, short and lossy.
UNLIKE = ("daily", "hourly", "few trades", "outage", "short")


def returns_like(name: str) -> np.ndarray:
    generator = np.random.default_rng(len(name))
    match name:
        case "daily":
            return generator.normal(0.0005, 0.01, 1250)
        case "hourly":
            return generator.standard_t(3, 17_520) * 0.004 + 0.0001
        case "few trades":
            return np.where(generator.random(1250) < 0.02, generator.normal(0.01, 0.03, 1250), 0.0)
        case "outage":
            traded = generator.normal(0, 0.0005, 4000)
            traded[1000:2000] = 0.0
            return traded
        case _:
            return generator.normal(-0.002, 0.05, 33)


def autoregressive(coefficient: float, bars: int, generator: np.random.Generator) -> np.ndarray:
    """AR(1) with mean 0 and variance 1, normal, (bars,)."""
    noise = generator.normal(0, np.sqrt(1 - coefficient**2), bars)
    noise[0] = generator.normal()
    return np.asarray(lfilter([1.0], [1.0, -coefficient], noise))


def with_moments(sharpe: float, skewness: float, kurtosis_: float, bars: int) -> np.ndarray:
    """(bars,) whose sample moments are exactly these: a cubic of the normal scores."""
    scores = norm.ppf((np.arange(bars) + 0.5) / bars)

    def cubic(factors: np.ndarray) -> np.ndarray:
        return scores + factors[0] * scores**2 + factors[1] * scores**3

    def misses(factors: np.ndarray) -> list[float]:
        series = cubic(factors)
        return [skew(series) - skewness, kurtosis(series, fisher=False) - kurtosis_]

    factors, _, found, _ = fsolve(misses, [0.1 * skewness, 0.01], full_output=True)
    assert found == 1
    series = cubic(factors)
    return (series - series.mean()) / series.std(ddof=1) + sharpe
