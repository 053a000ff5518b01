"""The section `predictors:` of params.yaml: one class for each kind of predictor, and what all networks share."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from MLOps.config.schema import parse, section
from MLOps.config.types import Count, NonNegative, Positive, PositiveNumber

DropoutRate = Annotated[float, Field(ge=0, lt=1)]
Sizes = Annotated[tuple[Positive, ...], Field(min_length=1)]


@section
class AugmentationConfig:
    """Random distortions of each training window (Um et al., 2017), in standard deviations of the scaled features."""

    jitter_std: NonNegative = 0.0
    time_shift_bars: Count = 0
    magnitude_warp_std: NonNegative = 0.0


@section
class NetworkConfig:
    """What the training engine is told, whichever network it trains.

    `class_loss_weight` and `return_loss_weight` make the task: classification (1, 0), regression (0, 1) or both, as
    (0.6, 0.4). `batch_size` counts labels an update, in either mode; 0 takes as many as memory holds. In the mode
    `sequence` each forward pass learns from `sequence_bars` labels in a row. `schedule_epochs` are the epochs until a
    warm restart, or without improvement until a plateau halves the rate. `monitor` names the logged metric that
    chooses how many epochs to train. `uncertainty_samples` networks thinned by dropout give the uncertainty; with 0 it
    is the forecast's entropy. `explain_windows` validation windows are explained in figures.
    """

    reads_both_ways: ClassVar[bool] = False

    kind: str
    lookback_bars: Positive
    dropout: DropoutRate
    learning_rate: PositiveNumber
    weight_decay: NonNegative
    batch_size: Count
    max_epochs: Positive
    patience_epochs: Positive
    gradient_clip: PositiveNumber
    class_loss_weight: NonNegative = 1.0
    return_loss_weight: NonNegative = 0.0
    mode: Literal["windows", "sequence"] = "windows"
    sequence_bars: Positive = 240
    optimiser: Literal["adam", "adamw"] = "adamw"
    schedule: Literal["constant", "cosine", "warm_restarts", "plateau"] = "constant"
    schedule_epochs: Positive = 10
    monitor: str = "selection_loss"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    mixed_precision: bool = False
    compile: bool = False
    gradient_checkpointing: bool = False
    augmentation: AugmentationConfig = AugmentationConfig()
    uncertainty_samples: Count = 0
    explain_windows: Count = 0
    export: tuple[Literal["onnx", "torch_export"], ...] = ()

    @model_validator(mode="after")
    def _settings_agree(self) -> "NetworkConfig":
        if self.class_loss_weight + self.return_loss_weight == 0:
            raise ValueError("class_loss_weight and return_loss_weight are both 0; give one of them weight")
        if self.mode == "sequence" and self.reads_both_ways:
            raise ValueError("mode sequence needs a network whose state runs forward only; use mode: windows")
        if self.uncertainty_samples and not self.dropout:
            raise ValueError("uncertainty_samples need dropout to sample from; set dropout above 0")
        return self


@section
class RecurrentConfig(NetworkConfig):
    kind: Literal["lstm", "gru"]
    hidden_size: Positive
    layers: Positive


@section
class BiLSTMConfig(NetworkConfig):
    reads_both_ways: ClassVar[bool] = True

    kind: Literal["bilstm"]
    hidden_size: Positive
    layers: Positive


@section
class DLSTMConfig(NetworkConfig):
    """`trend_bars`: the span of the moving average that splits the trend from the remainder."""

    kind: Literal["dlstm"]
    hidden_size: Positive
    layers: Positive
    trend_bars: Positive


@section
class _ConvolutionalConfig(NetworkConfig):
    """`filters[i]` channels of width `kernels[i]`; `heads` of attention divide the width that they attend over."""

    reads_both_ways: ClassVar[bool] = True

    filters: Sizes
    kernels: Sizes
    hidden_size: Positive
    heads: Positive

    @model_validator(mode="after")
    def _lists_agree(self) -> "_ConvolutionalConfig":
        if len(self.filters) != len(self.kernels):
            raise ValueError(
                f"filters and kernels must be lists of one length, they have {len(self.filters)} and "
                f"{len(self.kernels)} entries"
            )
        if (2 * self.hidden_size) % self.heads:
            raise ValueError(f"heads must divide 2 * hidden_size = {2 * self.hidden_size}, and {self.heads} does not")
        return self


@section
class CNNLSTMConfig(_ConvolutionalConfig):
    """Convolutions one after the other."""

    kind: Literal["cnn_lstm"]


@section
class HybridConfig(_ConvolutionalConfig):
    """Convolutions side by side."""

    kind: Literal["hybrid"]


@section
class ClassPriorConfig:
    lookback_bars: ClassVar[int] = 1

    kind: Literal["class_prior"]


@section
class PersistenceConfig:
    """`feature` tells the newest move, as return_5 does where labels look five bars ahead."""

    lookback_bars: ClassVar[int] = 1

    kind: Literal["persistence"]
    feature: str


@section
class LogisticConfig:
    kind: Literal["logistic"]
    lookback_bars: Positive
    l2_penalty: PositiveNumber


@section
class RidgeConfig:
    kind: Literal["ridge"]
    lookback_bars: Positive
    l2_penalty: PositiveNumber


@section
class GradientBoostingConfig:
    """Names as in scikit-learn's HistGradientBoostingClassifier; the selection span chooses how many rounds of
    `max_iter` to grow."""

    kind: Literal["gradient_boosting"]
    lookback_bars: Positive
    max_iter: Positive
    learning_rate: PositiveNumber
    max_leaf_nodes: Annotated[int, Field(ge=2)]
    min_samples_leaf: Positive
    l2_penalty: NonNegative


PredictorConfig = Annotated[
    RecurrentConfig
    | BiLSTMConfig
    | DLSTMConfig
    | CNNLSTMConfig
    | HybridConfig
    | ClassPriorConfig
    | PersistenceConfig
    | LogisticConfig
    | RidgeConfig
    | GradientBoostingConfig,
    Field(discriminator="kind"),
]
PredictorConfigs = Annotated[dict[str, PredictorConfig], Field(min_length=1)]


def parse_predictor(values: Any, where: str) -> Any:
    """The section of one predictor, of the class that its `kind` names.

    Raises:
        UserError: naming `where` and the first key that is unknown, missing or of the wrong type.
    """
    return parse(PredictorConfig, values, where)  # type: ignore[arg-type]
