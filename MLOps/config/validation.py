"""The section `validation:` of params.yaml: requirements for a predictor to join the ensemble."""

from typing import Annotated, Literal

from pydantic import Field

from MLOps.config.schema import section
from MLOps.config.types import Share


@section
class ValidationConfig:
    """A predictor passes if its log loss beats each baseline's at this confidence of a two-sided interval.

    `use` is what a passing predictor must forecast to join the ensemble that agents observe: `direction` or
    `magnitude`; with both, passing is enough. `ensemble` is how the members are combined; see `Ensemble.fit`.
    """

    confidence: Share
    ensemble: Literal["mean", "weighted", "stacking"]
    use: Annotated[tuple[Literal["direction", "magnitude"], ...], Field(min_length=1)] = ("direction", "magnitude")
