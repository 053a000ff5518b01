"""The bootstrap's interval holds the mean as often as it says."""

import numpy as np

from MLOps.statistics.bootstrap import mean_interval


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    """Of dependent series (AR(1), 0.3), whose mean is 0; 90 % intervals, 200 series."""
    generator = np.random.default_rng(0)
    covered = 0
    for number in range(200):
        noise = generator.normal(size=400)
        series = np.empty(400)
        series[0] = noise[0]
        for t in range(1, 400):
            series[t] = 0.3 * series[t - 1] + noise[t]
        _, lower, upper = mean_interval(series, 0.9, samples=200, block_bars=10, seed=number)
        covered += lower <= 0 <= upper
    # Binomial, 200 draws at 0.9: 4 standard deviations are 17.
    assert 0.9 * 200 - 17 - 8 <= covered <= 0.9 * 200 + 17, covered
