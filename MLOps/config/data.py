"""The sections `data:` and `labels:` of params.yaml: where bars come from, and what is foreseen of them."""

from typing import Annotated, Literal

from pydantic import Field

from MLOps.config.schema import section

Positive = Annotated[int, Field(gt=0)]
PositiveNumber = Annotated[float, Field(gt=0)]


@section
class SmoothedLabelConfig:
    """Fall, Stationary or Rise: the mean of the next `smoothing_k` closes against the close, ± `threshold_delta`."""

    kind: Literal["smoothed"]
    smoothing_k: Positive
    threshold_delta: Annotated[float, Field(gt=0, lt=1)]


@section
class NextReturnLabelConfig:
    """The next bar's return: the target of a regression, and its class by ± `threshold_delta`."""

    kind: Literal["next_return"]
    threshold_delta: Annotated[float, Field(gt=0, lt=1)]


@section
class ScoreLabelConfig:
    """The return over `horizon_bars` in units of volatility, in `classes` classes of like frequency."""

    kind: Literal["score"]
    horizon_bars: Positive
    classes: Annotated[int, Field(ge=2, le=11)]
    volatility_bars: Annotated[int, Field(ge=2)]


@section
class TripleBarrierLabelConfig:
    """Which barrier the closes of `horizon_bars` bars touch first; barriers in units of volatility over them."""

    kind: Literal["triple_barrier"]
    horizon_bars: Positive
    volatility_bars: Annotated[int, Field(ge=2)]
    upper_volatilities: PositiveNumber
    lower_volatilities: PositiveNumber


LabelConfig = Annotated[
    SmoothedLabelConfig | NextReturnLabelConfig | ScoreLabelConfig | TripleBarrierLabelConfig,
    Field(discriminator="kind"),
]
