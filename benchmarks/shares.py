"""A share of outcomes with its Clopper-Pearson bounds, as the benchmarks' files of figures have it."""

from scipy.stats import binomtest

CONFIDENCE = 0.95


def share(name: str, count: int, of: int) -> dict[str, float]:
    """`name`, `name_lower` and `name_upper`, two-sided."""
    bounds = binomtest(count, of).proportion_ci(CONFIDENCE, method="exact")
    return {name: count / of, f"{name}_lower": float(bounds.low), f"{name}_upper": float(bounds.high)}
