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
    """Fall, stationary or rise of the mean of the next closes.

    Attributes:
        smoothing_k: number of closes in the mean.
        threshold_delta: least relative distance of the mean from the close of a rise or a fall.
    """

    kind: Literal["smoothed"]
    smoothing_k: Positive
    threshold_delta: Share


@section
class NextReturnLabelConfig:
    """Fall, stationary or rise of the next bar's return.

    Attributes:
        threshold_delta: least size of the return of a rise or a fall.
    """

    kind: Literal["next_return"]
    threshold_delta: Share


@section
class ScoreLabelConfig:
    """The return over a horizon in units of volatility, in classes of about equal frequency.

    Attributes:
        horizon_bars: bars that the return looks ahead.
        n_classes: number of classes.
        volatility_bars: past returns in the volatility.
    """

    kind: Literal["score"]
    horizon_bars: Positive
    n_classes: ClassCount
    volatility_bars: Annotated[int, Field(ge=2)]


@section
class TripleBarrierLabelConfig:
    """Rise or fall by the barrier that a close reaches first, stationary if none.

    Attributes:
        horizon_bars: closes within which a barrier must be reached.
        volatility_bars: past returns in the volatility.
        upper_volatilities: distance of the upper barrier, in units of the volatility over the horizon.
        lower_volatilities: distance of the lower barrier, likewise.
    """

    kind: Literal["triple_barrier"]
    horizon_bars: Positive
    volatility_bars: Annotated[int, Field(ge=2)]
    upper_volatilities: PositiveNumber
    lower_volatilities: PositiveNumber


@section
class TargetLabelConfig:
    """The target of a labelled table.

    Attributes:
        n_classes: number of scores, evenly spaced from -1 to 1.
        horizon_rows: rows that a target looks ahead, which the splits purge; it is known from the last of them on.
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
