"""The section `gate:` of params.yaml: what a candidate must show before it becomes champion."""

from typing import Annotated

from pydantic import Field

from MLOps.config.schema import section
from MLOps.config.types import Count, Share


@section
class GateConfig:
    """The checks before the alias `champion` moves; all must hold, and every refusal is told with its reason.

    `random_quantile`: of the total returns that the agent's own trades earn at random times.
    """

    min_span_days: Count
    min_cagr: float
    min_sharpe: float
    max_drawdown: Annotated[float, Field(gt=0, le=1)]
    beat_buy_and_hold: bool
    random_quantile: Share
    beat_champion: bool
