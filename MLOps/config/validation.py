"""The section `validation:` of params.yaml: when a predictor is good enough to be observed."""

from typing import Annotated, Literal

from pydantic import Field

from MLOps.config.schema import section
from MLOps.config.types import Share


@section
class ValidationConfig:
    """A predictor passes when it beats each baseline's log loss, at this confidence of a two-sided interval.

    `use` says what a predictor that passes must know to be a member of the ensemble that agents observe: `direction` or
    `magnitude`; with both, passing is enough. `ensemble` says how the members become one; see `Ensemble.fit`.
    """

    confidence: Share
    ensemble: Literal["mean", "weighted", "stacking"]
    use: Annotated[tuple[Literal["direction", "magnitude"], ...], Field(min_length=1)] = ("direction", "magnitude")
