"""How often 95 % intervals hold the truth, on autocorrelated returns whose volatility clusters.

    python -m benchmarks.coverage --json FILE [--draws 1000] [--bars 1250]

Returns follow an AR(1) process with GARCH(1, 1) innovations of Student's distribution, so that the true means and
Sharpe ratios are known. Each draw gives one interval of the mean (`coverage`), of the Sharpe ratio (`coverage_sharpe`)
and of the difference of two correlated series' Sharpe ratios (`coverage_sharpe_difference`). The bounds `_lower` and
`_upper` are those of Clopper and Pearson, 95 %, for the share itself.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.shares import share
from MLOps.statistics.bootstrap import mean_interval
from MLOps.statistics.sharpe_inference import sharpe_difference, sharpe_interval

CONFIDENCE = 0.95
RESAMPLES = 1000
BURN_IN_BARS = 500  # until the process has forgotten its start; a shock to the variance halves in 34 bars
FREEDOM = 6  # of Student's distribution
CORRELATION = 0.6  # of the innovations of two series


@dataclass(frozen=True)
class Process:
    """An AR(1) process with GARCH(1, 1) innovations, with values usual for daily returns of shares."""

    sharpe: float  # per bar
    autocorrelation: float = 0.15
    volatility: float = 0.01  # standard deviation of a bar
    shock: float = 0.05  # weight of the last squared innovation in the next variance
    persistence: float = 0.93  # weight of the last variance

    @property
    def mean(self) -> float:
        return self.sharpe * self.volatility

    def returns(self, noise: np.ndarray) -> np.ndarray:
        """(draws, bars) from independent noise with mean 0 and variance 1, (draws, BURN_IN_BARS + bars)."""
        usual = self.volatility**2 * (1 - self.autocorrelation**2)
        variance, deviation, returns = np.full(len(noise), usual), np.zeros(len(noise)), np.empty_like(noise)
        for bar in range(noise.shape[1]):
            innovation = np.sqrt(variance) * noise[:, bar]
            deviation = self.autocorrelation * deviation + innovation
            returns[:, bar] = self.mean + deviation
            variance = (
                usual * (1 - self.shock - self.persistence) + self.shock * innovation**2 + self.persistence * variance
            )
        return returns[:, BURN_IN_BARS:]


# Annual Sharpe ratios of about 1 and 0.5, of 252 bars a year.
OURS, THEIRS = Process(0.063), Process(0.0315, autocorrelation=0.1, volatility=0.015)


def noise(draws: int, bars: int, generator: np.random.Generator) -> np.ndarray:
    """Student's, with variance 1: (draws, BURN_IN_BARS + bars)."""
    return generator.standard_t(FREEDOM, (draws, BURN_IN_BARS + bars)) / np.sqrt(FREEDOM / (FREEDOM - 2))


def held(draws: int, bars: int, seed: int, resamples: int = RESAMPLES, our_process: Process = OURS) -> dict[str, int]:
    """In how many of the draws each interval holds the truth."""
    generator = np.random.default_rng(seed)
    shared, own = noise(draws, bars, generator), noise(draws, bars, generator)
    ours = our_process.returns(shared)
    theirs = THEIRS.returns(CORRELATION * shared + np.sqrt(1 - CORRELATION**2) * own)
    counts = dict.fromkeys(("coverage", "coverage_sharpe", "coverage_sharpe_difference"), 0)
    for number in range(draws):
        _, *mean = mean_interval(ours[number], CONFIDENCE, resamples, None, seed=number)
        ratio = sharpe_interval(ours[number], CONFIDENCE)
        difference = sharpe_difference(ours[number], theirs[number], CONFIDENCE, resamples, seed=number)
        counts["coverage"] += mean[0] <= our_process.mean <= mean[1]
        counts["coverage_sharpe"] += ratio[0] <= our_process.sharpe <= ratio[1]
        truth = our_process.sharpe - THEIRS.sharpe
        counts["coverage_sharpe_difference"] += difference.lower <= truth <= difference.upper
    return counts


def coverage(draws: int, bars: int, seed: int) -> dict[str, float]:
    """Each interval's coverage, and the bounds of Clopper and Pearson."""
    figures: dict[str, float] = {"draws": draws, "bars": bars}
    for name, count in held(draws, bars, seed).items():
        figures |= share(name, count, draws)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--bars", type=int, default=1250, help="of each draw; 1 250 are five years of days")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    figures = coverage(arguments.draws, arguments.bars, arguments.seed)
    for name, value in figures.items():
        print(f"{name:32} {value:10,.3f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
