"""The section `agent_ensemble:` of params.yaml: how the agents decide together."""

from typing import Annotated, Literal

from pydantic import Field

from MLOps.config.schema import section
from MLOps.config.types import Positive, PositiveNumber

# Weighting positions needs decisions that are positions, of one symbol each.
ENSEMBLE_SCHEMES = ("targets", "weights")


@section
class NoEnsembleConfig:
    """The agent with the highest reward on validation decides alone."""

    kind: Literal["none"]


@section
class VoteConfig:
    """Members are weighted by their Sharpe ratio on validation."""

    kind: Literal["vote"]


@section
class HedgeConfig:
    """AdaHedge (de Rooij et al., 2014)."""

    kind: Literal["hedge"]


@section
class ThompsonConfig:
    """Bootstrap Thompson sampling (Eckles and Kaptein, 2014).

    Attributes:
        resamples: of the validation span.
        block_bars: mean length of the blocks that are drawn.
    """

    kind: Literal["thompson"]
    resamples: Positive = 10_000
    block_bars: Positive = 10


@section
class SelectorConfig:
    """A logistic regression on the bar's observations chooses the member.

    Attributes:
        horizon_bars: it learns which member earns most over so many bars.
        l2_penalty: of its coefficients.
    """

    kind: Literal["selector"]
    horizon_bars: Positive = 20
    l2_penalty: PositiveNumber = 1.0


AgentEnsembleConfig = Annotated[
    NoEnsembleConfig | VoteConfig | HedgeConfig | ThompsonConfig | SelectorConfig, Field(discriminator="kind")
]
