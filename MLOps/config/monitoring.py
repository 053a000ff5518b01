"""The section `monitoring:` of params.yaml: what `python -m MLOps monitor` looks at."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from MLOps.config.schema import section
from MLOps.config.types import Positive, Share

Check = Literal["feed", "inputs", "forecasts", "decisions", "performance"]


@section
class MonitoringConfig:
    """Drift of new bars, forecasts, decisions and returns from the reference in the bundle.

    Attributes:
        checks: what is looked at: the feed, the features, the forecasts with their calibration, the agent's positions
            and orders, its returns.
        window_bars: newest bars that are compared with the reference; fewer find a large change earlier, more find a
            smaller one. Null if `window_days` says it.
        window_days: the same in calendar days, for intraday bars.
        false_alarms_per_month: largest probability, over all checks and features together, that looking at every bar of
            a month reports a change where there is none.
        bootstrap_samples: resamples of the reference that set the limits.
    """

    checks: Annotated[tuple[Check, ...], Field(min_length=1)] = (
        "feed",
        "inputs",
        "forecasts",
        "decisions",
        "performance",
    )
    window_bars: Annotated[int, Field(ge=10)] | None = 40
    window_days: Positive | None = None
    false_alarms_per_month: Share = 0.02
    bootstrap_samples: Annotated[int, Field(ge=100)] = 500

    @model_validator(mode="after")
    def _one_window(self) -> Self:
        if (self.window_bars is None) == (self.window_days is None):
            raise ValueError(
                f"expected one of window_bars and window_days, found {self.window_bars} and {self.window_days}; set "
                "one of them to null"
            )
        return self
