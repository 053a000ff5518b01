"""The section `backtest:` of params.yaml: the strategies that the agent is compared with, and the statistics."""

from typing import Annotated

from pydantic import Field

from MLOps.config.schema import section
from MLOps.config.types import Positive, Share


@section
class BacktestConfig:
    """`block_bars`: mean block length of the bootstrap; null chooses it from the returns (Politis & White, 2004)."""

    random_draws: Positive
    moving_average_fast_bars: Positive
    moving_average_slow_bars: Positive
    bootstrap_samples: Annotated[int, Field(ge=100)]
    block_bars: Positive | None
    confidence: Share
    # Portfolios: bars between rebalances of the baselines, and bars of returns in the volatility that one weights by.
    rebalance_bars: Positive = 1
    volatility_bars: Annotated[int, Field(ge=2)] = 20
