"""The section `splits:` of params.yaml: train, validation and test shares, embargo and folds."""

from typing import Annotated

from pydantic import Field, model_validator

from MLOps.config.schema import section
from MLOps.config.types import Count, Share


@section
class SplitConfig:
    """Shares of the timeline, in order; together they are 1.

    Attributes:
        train: share of the training span.
        validation: share of the validation span, on which predictors are judged and agents chosen.
        test: share of the test span.
        embargo_bars: left out between spans and between folds, in addition to the rows that the purge removes.
        folds: parts of the training span for out-of-fold forecasts.
        selection: share of the training span, at its end, on which predictors choose epochs, rounds and searched
            parameters.
    """

    train: Share
    validation: Share
    test: Share
    embargo_bars: Count
    folds: Annotated[int, Field(ge=2)]
    selection: Share = 0.15

    @model_validator(mode="after")
    def _shares_fill_the_timeline(self) -> "SplitConfig":
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train + validation + test must be 1, they are {total:g}")
        return self
