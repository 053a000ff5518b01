"""The section `predictors:` of params.yaml: one class per kind of predictor and a base class of all networks."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from MLOps.config.schema import parse, section
from MLOps.config.types import Count, NonNegative, Positive, PositiveNumber, VariantName

ENSEMBLE = "ensemble"  # names the forecasts of the ensemble, so no predictor has that name

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
    """Training parameters shared by all networks.

    `class_loss_weight` and `return_loss_weight` set the task: classification (1, 0), regression (0, 1) or both, as
    (0.6, 0.4). `batch_size` is the number of labels per update, in either mode; 0 chooses the largest that fits in
    memory. In the mode `sequence` each forward pass trains on `sequence_bars` consecutive labels. `schedule_epochs` is
    the number of epochs until a warm restart, or without improvement until a plateau halves the learning rate.
    `monitor` names the logged metric that decides the number of epochs. The uncertainty comes from
    `uncertainty_samples` Monte-Carlo dropout samples; with 0 it is the forecast's entropy. `explain_windows` is the
    number of validation windows explained in plots. `embedding_size` is the number of principal components of the last
    hidden layer that agents can observe.
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
    embedding_size: Count = 0
    export: tuple[Literal["onnx", "torch_export"], ...] = ()

    @model_validator(mode="after")
    def _settings_agree(self) -> "NetworkConfig":
        if self.class_loss_weight + self.return_loss_weight == 0:
            raise ValueError("class_loss_weight and return_loss_weight are both 0; set at least one above 0")
        if self.mode == "sequence" and self.reads_both_ways:
            raise ValueError("mode sequence needs a unidirectional recurrent network; use mode: windows")
        if self.uncertainty_samples and not self.dropout:
            raise ValueError("uncertainty_samples need dropout; set dropout above 0")
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
    """`trend_bars`: length of the moving average that separates the trend from the remainder."""

    kind: Literal["dlstm"]
    hidden_size: Positive
    layers: Positive
    trend_bars: Positive


@section
class _ConvolutionalConfig(NetworkConfig):
    """`filters[i]` channels with kernel width `kernels[i]`; `heads` attention heads, which must divide their width."""

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
                f"{len(self.kernels)} entries; add or remove entries"
            )
        if (2 * self.hidden_size) % self.heads:
            raise ValueError(
                f"heads must divide 2 * hidden_size = {2 * self.hidden_size}, and {self.heads} does not; change either"
            )
        return self


@section
class CNNLSTMConfig(_ConvolutionalConfig):
    """Sequential convolutions."""

    kind: Literal["cnn_lstm"]


@section
class HybridConfig(_ConvolutionalConfig):
    """Parallel convolutions."""

    kind: Literal["hybrid"]


@section
class ClassPriorConfig:
    lookback_bars: ClassVar[int] = 1

    kind: Literal["class_prior"]


@section
class PersistenceConfig:
    """`feature` is the newest known move, for example return_5 if labels look five bars ahead."""

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
    """Parameters of scikit-learn's HistGradientBoostingClassifier; the selection span decides how many rounds, at most
    `max_iter`, are kept."""

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
PredictorConfigs = Annotated[dict[VariantName, PredictorConfig], Field(min_length=1)]


def parse_predictor(values: Any, where: str) -> Any:
    """Parse the section of one predictor into the class of its `kind`.

    Raises:
        UserError: naming `where` and the first key that is unknown, missing or of the wrong type.
    """
    return parse(PredictorConfig, values, where)  # type: ignore[arg-type]
