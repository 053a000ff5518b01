"""The section `labels:` of params.yaml: the forecast target, one class per kind of label."""

from typing import Annotated, Literal

from pydantic import Field

from MLOps.config.schema import section
from MLOps.config.types import Positive, PositiveNumber, Share

CLASSES = ("fall", "stationary", "rise")
UNKNOWN = -1  # the label of a row whose outcome the data does not hold

ClassCount = Annotated[int, Field(ge=2, le=11)]


@section
class SmoothedLabelConfig:
    """Fall, Stationary or Rise: mean of the next `smoothing_k` closes relative to the close, ± `threshold_delta`."""

    kind: Literal["smoothed"]
    smoothing_k: Positive
    threshold_delta: Share


@section
class NextReturnLabelConfig:
    """The next bar's return as a regression target, and its class by ± `threshold_delta`."""

    kind: Literal["next_return"]
    threshold_delta: Share


@section
class ScoreLabelConfig:
    """The return over `horizon_bars` in units of volatility, in `n_classes` classes of about equal frequency."""

    kind: Literal["score"]
    horizon_bars: Positive
    n_classes: ClassCount
    volatility_bars: Annotated[int, Field(ge=2)]


@section
class TripleBarrierLabelConfig:
    """The barrier that the next `horizon_bars` closes reach first; barriers in units of volatility over the horizon."""

    kind: Literal["triple_barrier"]
    horizon_bars: Positive
    volatility_bars: Annotated[int, Field(ge=2)]
    upper_volatilities: PositiveNumber
    lower_volatilities: PositiveNumber


@section
class TargetLabelConfig:
    """The target of a labelled table: one of `n_classes` scores, evenly spaced from -1 to 1.

    A target looks `horizon_rows` rows ahead, which the splits purge; it is known from the last of them on.
    """

    kind: Literal["target"]
    n_classes: ClassCount
    horizon_rows: Positive


LabelConfig = Annotated[
    SmoothedLabelConfig | NextReturnLabelConfig | ScoreLabelConfig | TripleBarrierLabelConfig | TargetLabelConfig,
    Field(discriminator="kind"),
]


def class_names(config: LabelConfig) -> tuple[str, ...]:
    """The names of classes 0, 1, …: CLASSES, or for scores of other than three classes their values in [-1, 1]."""
    n_classes = getattr(config, "n_classes", len(CLASSES))
    if n_classes == len(CLASSES):
        return CLASSES
    return tuple(f"score_{2 * number / (n_classes - 1) - 1:.2g}" for number in range(n_classes))
