"""How often the daily comparison of two versions is wrong, and what it finds."""

import argparse
from pathlib import Path

import numpy as np

from MLOps.artifacts import write_json
from MLOps.operations.live_comparison import CONFIDENCE, TIGHTEST_AT_DAYS
from MLOps.statistics.confidence_sequence import mean_sequence

DAYS = 500
EDGES = (0.1, 0.125, 0.15, 1 / 6, 0.175, 0.2)  # mean differences, in standard deviations of a day


def equal(kind: str, count: int, generator: np.random.Generator) -> np.ndarray:
    """Differences of equal models: (count, DAYS) with mean 0."""
    values = generator.standard_normal((count, DAYS))
    match kind:
        case "Student's t, 3":
            return generator.standard_t(3, (count, DAYS))
        case "GARCH":
            variance = np.ones(count)
            for day in range(DAYS):
                values[:, day] *= np.sqrt(variance)
                variance = 0.05 + 0.1 * values[:, day] ** 2 + 0.85 * variance
        case "exponential":
            return generator.exponential(size=(count, DAYS)) - 1
        case "zero on four of five days":
            return values * (generator.random((count, DAYS)) < 0.2)
        case "autocorrelation 0.1":
            for day in range(1, DAYS):
                values[:, day] += 0.1 * values[:, day - 1]
    return values


KINDS = ("normal", "Student's t, 3", "GARCH", "exponential", "zero on four of five days", "autocorrelation 0.1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    wrong, power = {}, {}
    for kind in KINDS:
        lower, upper = mean_sequence(equal(kind, options.series, generator), CONFIDENCE, TIGHTEST_AT_DAYS)
        wrong[kind] = float(((lower > 0) | (upper < 0)).any(axis=1).mean())
        print(f"{kind:28} wrong on any of {DAYS} days: {wrong[kind]:.2%}")
    for edge in EDGES:
        values = generator.standard_normal((options.series, DAYS)) + edge
        power[f"{edge:.3f}"] = float((mean_sequence(values, CONFIDENCE, TIGHTEST_AT_DAYS)[0] > 0).any(axis=1).mean())
        print(f"mean of {edge:.3f} standard deviations found within {DAYS} days: {power[f'{edge:.3f}']:.1%}")
    if options.json:
        write_json(options.json, {"days": DAYS, "series": options.series, "wrong": wrong, "power": power})


if __name__ == "__main__":
    main()
