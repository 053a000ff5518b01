"""The section `search:` of params.yaml: the parameters of predictors and agents to search, and their ranges."""

from pydantic import model_validator

from MLOps.config.schema import section
from MLOps.config.types import Count, Positive


@section
class SearchRange:
    """Either a range, `low` and `high`, or `choices`.

    Attributes:
        low: smallest value; integers are drawn if both bounds are integers.
        high: largest value.
        log: whether values are drawn on a logarithmic scale.
        choices: values to draw from.
        lengths: least and greatest length of a list of choices, for parameters that are lists; null for a single value.
    """

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    choices: tuple[int | float | str, ...] = ()
    lengths: tuple[Positive, Positive] | None = None

    @model_validator(mode="after")
    def _is_one_of_them(self) -> "SearchRange":
        if (self.low is None or self.high is None) == (not self.choices):
            raise ValueError("expected either low and high, or choices; set one of the two")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low is {self.low} and high {self.high}; swap them")
        if self.log and (self.low is None or self.low <= 0):
            raise ValueError(f"a log scale needs a low above 0, found {self.low}; raise it or set log: false")
        if self.lengths and (not self.choices or self.lengths[0] > self.lengths[1]):
            raise ValueError(
                "lengths must be the minimum and maximum number of choices; give choices, and order the lengths"
            )
        return self


@section
class SearchConfig:
    """All lists in one space have the same length, drawn once per trial.

    A trial counts by the best value of the logged metric; losses and errors are minimised, all others maximised.

    Attributes:
        trials: for each predictor or agent in `spaces`; with 0 the parameters are used as they are.
        spaces: by the name of a predictor or agent, the parameters to search.
        metric: that decides, by its name in the history of the runs.
    """

    trials: Count
    spaces: dict[str, dict[str, SearchRange]]
    metric: str

    @model_validator(mode="after")
    def _lists_agree(self) -> "SearchConfig":
        for name, space in self.spaces.items():
            if len({bounds.lengths for bounds in space.values() if bounds.lengths}) > 1:
                raise ValueError(
                    f"the lists of {name} must have the same lengths, because a trial draws one length for all; make "
                    "them equal"
                )
        return self


@section
class PredictorSearchConfig(SearchConfig):
    """`metric`: of an epoch, by the names of the run's history: selection_loss, selection_accuracy, …"""

    metric: str = "selection_loss"


@section
class AgentSearchConfig(SearchConfig):
    """`metric`: validation_reward, or a metric of the algorithm's rollouts."""

    metric: str = "validation_reward"


@section
class SearchConfigs:
    """The searches of predictors and of agents."""

    predictors: PredictorSearchConfig
    agents: AgentSearchConfig
