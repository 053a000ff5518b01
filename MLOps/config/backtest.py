"""The section `backtest:` of params.yaml: the strategies that the agent is compared with, and the statistics."""

from typing import Annotated

from pydantic import Field

from MLOps.config.schema import section
from MLOps.config.types import Positive, Share


@section
class BacktestConfig:
    """The strategies that the agent is compared with, and the statistics.

    Attributes:
        random_draws: draws of the agent's trades at random times.
        moving_average_fast_bars: short window of the baseline `moving_average_cross`.
        moving_average_slow_bars: its long window.
        bootstrap_samples: resamples of each bootstrap.
        block_bars: mean block length of the bootstrap; null chooses it from the returns (Politis & White, 2004).
        confidence: of the two-sided intervals in the report.
        rebalance_bars: of a portfolio's baselines: bars between rebalances.
        volatility_bars: returns in the volatility of the baseline `inverse_volatility` of a portfolio.
    """

    random_draws: Positive
    moving_average_fast_bars: Positive
    moving_average_slow_bars: Positive
    bootstrap_samples: Annotated[int, Field(ge=100)]
    block_bars: Positive | None
    confidence: Share
    rebalance_bars: Positive = 1
    volatility_bars: Annotated[int, Field(ge=2)] = 20
