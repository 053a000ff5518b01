"""The section `serving:` of params.yaml: what a server accepts, which version answers, and what it records."""

from typing import Annotated, Literal

from pydantic import Field

from MLOps.config.schema import section
from MLOps.config.types import NonNegative, Positive, PositiveNumber

# The variable that holds this section as JSON for a server, which has no params.yaml.
SETTINGS = "MLOPS_SERVING"


@section
class ServingConfig:
    """The server; a change needs no new version, only a new start.

    Attributes:
        max_request_mb: largest body of a request, in megabytes.
        max_rows: most rows of bars in a request.
        max_symbols: most symbols in a request, of bars and of positions.
        body_timeout_s: longest time in which a body must arrive, in seconds.
        clock_skew_minutes: how far a bar's timestamp may be ahead of the server's clock.
        max_age_minutes: null, or the largest age of the newest bar; older requests are refused.
        on_lag: what happens if a symbol has no bar at the newest timestamp of the request; flag answers for the others
            and names it in `not_decided`.
    """

    max_request_mb: Annotated[float, Field(gt=0, le=1024)] = 16.0
    max_rows: Positive = 200_000
    max_symbols: Positive = 2_000
    body_timeout_s: PositiveNumber = 30.0
    clock_skew_minutes: NonNegative = 5.0
    max_age_minutes: PositiveNumber | None = None
    on_lag: Literal["flag", "refuse"] = "flag"
