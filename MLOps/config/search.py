"""The section `search:` of params.yaml: which parameters of predictors are searched, and where."""

from pydantic import model_validator

from MLOps.config.schema import section
from MLOps.config.types import Count, Positive


@section
class SearchRange:
    """From `low` to `high` (whole numbers where both are written as such), evenly or on a `log` scale; or one of
    `choices`; or, with `lengths`, a list of so many of them: the fewest and the most."""

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    choices: tuple[int | float | str, ...] = ()
    lengths: tuple[Positive, Positive] | None = None

    @model_validator(mode="after")
    def _is_one_of_them(self) -> "SearchRange":
        if (self.low is None or self.high is None) == (not self.choices):
            raise ValueError("expected either low and high, or choices")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low is {self.low} and high {self.high}; swap them")
        if self.lengths and (not self.choices or self.lengths[0] > self.lengths[1]):
            raise ValueError("lengths are the fewest and the most of choices")
        return self


@section
class SearchConfig:
    """`trials` of each predictor that `spaces` names; with 0, parameters pass through as they are.

    All lists of one space are searched with one length, drawn once a trial.
    """

    trials: Count
    spaces: dict[str, dict[str, SearchRange]]

    @model_validator(mode="after")
    def _lists_agree(self) -> "SearchConfig":
        for name, space in self.spaces.items():
            if len({bounds.lengths for bounds in space.values() if bounds.lengths}) > 1:
                raise ValueError(f"the lists of {name} must have the same lengths, for they are drawn together")
        return self
