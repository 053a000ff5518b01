"""The section `gate:` of params.yaml: requirements for a candidate to become champion."""

from typing import Annotated

from pydantic import Field

from MLOps.config.schema import section
from MLOps.config.types import Count, Share


@section
class GateConfig:
    """Limits of the checks before the alias `champion` moves; all must pass, and every refusal is reported.

    `random_quantile`: quantile of the total returns of the agent's own trades at random times.
    """

    min_span_days: Count
    min_cagr: float
    min_sharpe: float
    max_drawdown: Annotated[float, Field(gt=0, le=1)]
    beat_buy_and_hold: bool
    random_quantile: Share
    beat_champion: bool
