"""The section `splits:` of params.yaml: train, validation and test shares, embargo and folds."""

from typing import Annotated

from pydantic import Field, model_validator

from MLOps.config.schema import section
from MLOps.config.types import Count, Day, Share


@section
class SplitConfig:
    """The three spans of the timeline, in order, by their shares or by the first days of the later two.

    Attributes:
        train: share of the training span; the three shares together are 1.
        validation: share of the validation span, on which predictors are judged and agents chosen.
        test: share of the test span.
        validation_start: in place of the shares, the first day of the validation span, in UTC.
        test_start: the first day of the test span, in UTC.
        embargo_bars: left out between spans and between folds, in addition to the rows that the purge removes.
        folds: parts of the training span for out-of-fold forecasts.
        selection: share of the training span, at its end, on which predictors choose epochs, rounds and searched
            parameters.
    """

    train: Share | None = None
    validation: Share | None = None
    test: Share | None = None
    validation_start: Day | None = None
    test_start: Day | None = None
    embargo_bars: Count
    folds: Annotated[int, Field(ge=2)]
    selection: Share = 0.15

    @model_validator(mode="after")
    def _shares_or_days_fill_the_timeline(self) -> "SplitConfig":
        shares = [share for share in (self.train, self.validation, self.test) if share is not None]
        days = [day for day in (self.validation_start, self.test_start) if day is not None]
        if (len(shares), len(days)) not in ((3, 0), (0, 2)):
            raise ValueError(
                "expected either train, validation and test, or validation_start and test_start, found "
                f"{len(shares)} shares and {len(days)} days; set one kind and remove the other"
            )
        if shares and abs(sum(shares) - 1) > 1e-9:
            raise ValueError(f"train + validation + test must be 1, they are {sum(shares):g}; change one of them")
        if days and days[0] >= days[1]:
            raise ValueError(f"validation_start must be before test_start, found {days[0]} and {days[1]}; swap them")
        return self
