"""The section `predictors:` of params.yaml: one class per kind of predictor and a base class of all networks."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from MLOps.config.schema import parse, section
from MLOps.config.types import Count, NonNegative, Positive, PositiveNumber, VariantName

ENSEMBLE = "ensemble"  # names the forecasts of the ensemble, so no predictor has that name

DropoutRate = Annotated[float, Field(ge=0, lt=1)]
DecayRate = Annotated[float, Field(ge=0, lt=1)]
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
    the number of epochs until the first warm restart, or without improvement until a plateau. After a restart the
    period is `t_mult` times as long as before, and the cosines fall to the learning rate `eta_min`. A plateau
    multiplies the learning rate by `plateau_factor`. `betas` are the decay rates of the optimiser's moments. `monitor`
    names the logged metric that decides the number of epochs. The uncertainty comes from `uncertainty_samples` Monte-
    Carlo dropout samples; with 0 it is the forecast's entropy. `explain_windows` is the number of validation windows
    explained in plots. `embedding_size` is the number of principal components of the last hidden layer that agents can
    observe. `keep_checkpoints` leaves the last checkpoint of each finished training in .cache/training: the weights
    and the optimiser's state after the last epoch.

    What a default is taken from: PyTorch (`dropout`, `layers`, the optimiser's and the schedules' parameters),
    scikit-learn's MLPClassifier (`learning_rate`, `batch_size`, `max_epochs`, `patience_epochs`), and Pascanu et al.
    (2013) for `gradient_clip`. Look-back and sizes have none: they depend on the data.
    """

    reads_both_ways: ClassVar[bool] = False

    kind: str
    lookback_bars: Positive
    dropout: DropoutRate = 0.0
    learning_rate: PositiveNumber = 0.001
    weight_decay: NonNegative = 0.01
    batch_size: Count = 200
    max_epochs: Positive = 200
    patience_epochs: Positive = 10
    gradient_clip: PositiveNumber = 1.0
    class_loss_weight: NonNegative = 1.0
    return_loss_weight: NonNegative = 0.0
    mode: Literal["windows", "sequence"] = "windows"
    sequence_bars: Positive = 240
    optimiser: Literal["adam", "adamw"] = "adamw"
    schedule: Literal["constant", "cosine", "warm_restarts", "plateau"] = "constant"
    schedule_epochs: Positive = 10
    t_mult: Positive = 1
    eta_min: NonNegative = 0.0
    plateau_factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    betas: tuple[DecayRate, DecayRate] = (0.9, 0.999)
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
    keep_checkpoints: bool = False

    @model_validator(mode="after")
    def _settings_agree(self) -> "NetworkConfig":
        if self.class_loss_weight + self.return_loss_weight == 0:
            raise ValueError("class_loss_weight and return_loss_weight are both 0; set at least one above 0")
        if self.mode == "sequence" and self.reads_both_ways:
            raise ValueError("mode sequence needs a unidirectional recurrent network; use mode: windows")
        if self.uncertainty_samples and not any(self.dropout_rates):
            raise ValueError("uncertainty_samples need dropout; set dropout above 0")
        if self.eta_min > self.learning_rate:
            raise ValueError(f"eta_min is above the learning rate, {self.eta_min:g}; lower it")
        return self

    @property
    def dropout_rates(self) -> tuple[float, ...]:
        """Of all dropout layers."""
        return (self.dropout,)


@section
class RecurrentConfig(NetworkConfig):
    kind: Literal["lstm", "gru"]
    hidden_size: Positive
    layers: Positive = 1


@section
class BiLSTMConfig(NetworkConfig):
    reads_both_ways: ClassVar[bool] = True

    kind: Literal["bilstm"]
    hidden_size: Positive
    layers: Positive = 1


@section
class DLSTMConfig(NetworkConfig):
    """`trend_bars`: length of the moving average that separates the trend from the remainder; the default is DLinear's
    (Zeng et al., 2023)."""

    kind: Literal["dlstm"]
    hidden_size: Positive
    layers: Positive = 1
    trend_bars: Positive = 25


@section
class _ConvolutionalConfig(NetworkConfig):
    """`filters[i]` channels with kernel width `kernels[i]`; `heads` attention heads, which must divide their width.

    `recurrent_layers` and `attention_layers` are stacked. `dropout` precedes the heads; `convolution_dropout`,
    `recurrent_dropout` and `attention_dropout` follow each layer of their kind. `attention_dropout: null` takes
    `dropout`.
    """

    reads_both_ways: ClassVar[bool] = True

    filters: Sizes
    kernels: Sizes
    hidden_size: Positive
    heads: Positive
    recurrent_layers: Positive = 1
    attention_layers: Positive = 1
    convolution_dropout: DropoutRate = 0.0
    recurrent_dropout: DropoutRate = 0.0
    attention_dropout: DropoutRate | None = None

    @property
    def attention_width(self) -> int:
        return 2 * self.hidden_size

    @property
    def attention_rate(self) -> float:
        """The dropout rate of attention."""
        return self.dropout if self.attention_dropout is None else self.attention_dropout

    @property
    def dropout_rates(self) -> tuple[float, ...]:
        return self.dropout, self.convolution_dropout, self.recurrent_dropout, self.attention_rate

    @model_validator(mode="after")
    def _lists_agree(self) -> "_ConvolutionalConfig":
        if len(self.filters) != len(self.kernels):
            raise ValueError(
                f"filters and kernels must be lists of one length, they have {len(self.filters)} and "
                f"{len(self.kernels)} entries; add or remove entries"
            )
        if self.attention_width % self.heads:
            raise ValueError(
                f"heads must divide the width of attention, {self.attention_width}, and {self.heads} does not; change "
                "either"
            )
        return self


@section
class CNNLSTMConfig(_ConvolutionalConfig):
    """Sequential convolutions; the width of attention is 2 * `hidden_size`."""

    kind: Literal["cnn_lstm"]


@section
class HybridConfig(_ConvolutionalConfig):
    """Parallel convolutions; `fusion_size` is the width of attention and of the fused state, null for 2 *
    `hidden_size`."""

    kind: Literal["hybrid"]
    fusion_size: Positive | None = None

    @property
    def attention_width(self) -> int:
        return self.fusion_size or 2 * self.hidden_size


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
    """`explain_windows` as in `NetworkConfig`; the other defaults are scikit-learn's."""

    kind: Literal["logistic"]
    lookback_bars: Positive
    l2_penalty: PositiveNumber = 1.0
    explain_windows: Count = 0


@section
class RidgeConfig:
    """As `LogisticConfig`."""

    kind: Literal["ridge"]
    lookback_bars: Positive
    l2_penalty: PositiveNumber = 1.0
    explain_windows: Count = 0


@section
class GradientBoostingConfig:
    """Parameters of scikit-learn's HistGradientBoostingClassifier, with its defaults; the selection span decides how
    many rounds, at most `max_iter`, are kept. `explain_windows` as in `NetworkConfig`."""

    kind: Literal["gradient_boosting"]
    lookback_bars: Positive
    max_iter: Positive = 100
    learning_rate: PositiveNumber = 0.1
    max_leaf_nodes: Annotated[int, Field(ge=2)] = 31
    min_samples_leaf: Positive = 20
    l2_penalty: NonNegative = 0.0
    explain_windows: Count = 0


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
