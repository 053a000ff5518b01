"""The section `search:` of params.yaml: the parameters of predictors and agents to search, and their ranges."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

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
class MedianConfig:
    """A trial is pruned if its best value so far is worse than the median of the others at that epoch.

    Attributes:
        startup_trials: finished before the first is pruned.
        warmup_epochs: of each trial, in which it is not pruned; of an agent, evaluations.
    """

    kind: Literal["median"] = "median"
    startup_trials: Count = 5
    warmup_epochs: Count = 1


@section
class HalvingConfig:
    """Asynchronous successive halving (Li et al., 2020): of the trials that reach a rung, the best share goes on.

    Attributes:
        first_epochs: at the first rung; each further one has `factor` times as many. Of an agent, evaluations.
        factor: one in so many trials goes on.
    """

    kind: Literal["halving"]
    first_epochs: Positive = 1
    factor: Annotated[int, Field(ge=2)] = 4


@section
class NoPruningConfig:
    """Every trial trains to its end."""

    kind: Literal["none"]


PrunerConfig = Annotated[MedianConfig | HalvingConfig | NoPruningConfig, Field(discriminator="kind")]


@section
class SearchConfig:
    """All lists in one space have the same length, drawn once per trial.

    A trial counts by the best value of the logged metric.

    Attributes:
        trials: for each predictor or agent in `spaces`; with 0 the parameters are used as they are.
        spaces: by the name of a predictor or agent, the parameters to search.
        metric: that decides, by its name in the history of the runs.
        direction: of the metric: `auto` minimises losses, errors, drawdowns and norms, and maximises all others.
        batch_trials: drawn at once, from what the batches before have shown, and computed at once by as many workers.
            The result depends on it; it does not depend on the number of workers.
        pruner: which trials are ended early.
    """

    trials: Count
    spaces: dict[str, dict[str, SearchRange]]
    metric: str
    direction: Literal["auto", "minimize", "maximize"] = "auto"
    batch_trials: Positive = 1
    pruner: PrunerConfig = MedianConfig()

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
