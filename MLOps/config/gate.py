"""The section `gate:` of params.yaml: the checks of a candidate before it becomes champion, each with its level."""

from typing import Annotated

from pydantic import Field

from MLOps.config.schema import section
from MLOps.config.types import Count, NonNegative, Share

Confidence = Annotated[float, Field(gt=0.5, lt=1)]


@section
class GateConfig:
    """Levels of the checks; a check whose level is null is not made, and all others must pass.

    All are of the out-of-sample returns, joined over the windows of the walk-forward evaluation.

    Attributes:
        span_days: least length of the evidence, from the first to the last bar.
        cagr: least compound annual growth rate, exclusive.
        max_drawdown: largest fall from a peak, as a fraction of the peak.
        deflated_sharpe: least probability that the Sharpe ratio is above the one expected of the best of as many trials
            without skill.
        sharpe_above_buy_and_hold: confidence of the one-sided interval of the difference from buy-and-hold's Sharpe
            ratio, which must lie above 0.
        random_timing: least share of the draws of the same trades at random times that earn less.
        overfitting: largest probability that the trial that is best in one half of the bars is below the median in the
            other.
        superior_ability: largest p-value of the hypothesis that no trial earns more than buy-and-hold.
        champion: confidence of the same interval of the difference from the champion's Sharpe ratio.
        champion_margin: null, or an annualised Sharpe ratio: for a candidate with a smaller drawdown than the
            champion's the interval need only lie above minus this margin.
    """

    span_days: Count | None = 90
    cagr: float | None = 0.0
    max_drawdown: Annotated[float, Field(gt=0, le=1)] | None = 0.4
    deflated_sharpe: Share | None = 0.95
    sharpe_above_buy_and_hold: Confidence | None = 0.8
    random_timing: Share | None = 0.95
    overfitting: Share | None = None
    superior_ability: Share | None = None
    champion: Confidence | None = 0.9
    champion_margin: NonNegative | None = None
