"""The section `serving:` of params.yaml: what a server accepts, which version answers, and what it records."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from MLOps.config.schema import section
from MLOps.config.types import NonNegative, Positive, PositiveNumber, Share, Text

# The variable that holds this section as JSON for a server, which has no params.yaml.
SETTINGS = "MLOPS_SERVING"
# The variable of a champion's server with the address of the candidate's; that of a candidate's, how it is asked.
CANDIDATE_ADDRESS, ROLE = "MLOPS_SERVING_CANDIDATE", "MLOPS_SERVING_ROLE"
ANSWERED, SHADOW = "answered", "shadow"


@section
class RecordConfig:
    """The record of decisions: Parquet files that are written once and never changed.

    Attributes:
        folder: where the files are; null records nothing.
        rotate_rows: a new file begins after so many rows, of one symbol each.
        rotate_minutes: or after so many minutes; a server that is killed loses what it has not written yet.
        max_mb: of the folder; the oldest files are deleted beyond it.
    """

    folder: Text | None = None
    rotate_rows: Positive = 10_000
    rotate_minutes: PositiveNumber = 5.0
    max_mb: PositiveNumber = 1024.0


@section
class ServingConfig:
    """The server; a change needs no new version, only a new start.

    Attributes:
        policy: single, one version answers; shadow, the candidate decides on every request too and its decision is only
            recorded; split, the candidate answers the requests of a share of the accounts.
        candidate_share: of the accounts, for split.
        max_request_mb: largest body of a request, in megabytes.
        max_rows: most rows of bars in a request.
        max_symbols: most symbols in a request, of bars and of positions.
        body_timeout_s: longest time in which a body must arrive, in seconds.
        clock_skew_minutes: how far a bar's timestamp may be ahead of the server's clock.
        max_age_minutes: null, or the largest age of the newest bar; older requests are refused.
        on_lag: what happens if a symbol has no bar at the newest timestamp of the request; flag answers for the others
            and names it in `not_decided`.
        record: the record of decisions.
    """

    policy: Literal["single", "shadow", "split"] = "single"
    candidate_share: Share = 0.1
    max_request_mb: Annotated[float, Field(gt=0, le=1024)] = 16.0
    max_rows: Positive = 200_000
    max_symbols: Positive = 2_000
    body_timeout_s: PositiveNumber = 30.0
    clock_skew_minutes: NonNegative = 5.0
    max_age_minutes: PositiveNumber | None = None
    on_lag: Literal["flag", "refuse"] = "flag"
    record: RecordConfig = RecordConfig()

    @model_validator(mode="after")
    def _shadow_is_recorded(self) -> "ServingConfig":
        if self.policy == "shadow" and self.record.folder is None:
            raise ValueError("policy: shadow only records what the candidate decides; set serving.record.folder")
        return self
