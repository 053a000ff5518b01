"""The section `validation:` of params.yaml: requirements for a predictor to join the ensemble."""

from typing import Annotated, Literal

from pydantic import Field

from MLOps.config.schema import section
from MLOps.config.types import Share


@section
class ValidationConfig:
    """A predictor passes if its log loss beats each baseline's at this confidence.

    Attributes:
        confidence: of the two-sided interval of a gain.
        ensemble: how the forecasts of the members are combined.
        use: what a passing predictor must forecast to join the ensemble that agents observe; with both, passing is
            enough.
    """

    confidence: Share
    ensemble: Literal["mean", "weighted", "stacking"]
    use: Annotated[tuple[Literal["direction", "magnitude"], ...], Field(min_length=1)] = ("direction", "magnitude")
