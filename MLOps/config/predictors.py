"""The section `predictors:` of params.yaml: one class per kind of predictor and a base class of all networks."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from MLOps.config.schema import parse, section
from MLOps.config.types import Count, NonNegative, Positive, PositiveNumber, VariantName

ENSEMBLE = "ensemble"  # names the forecasts of the ensemble, so no predictor has that name

DropoutRate = Annotated[float, Field(ge=0, lt=1)]
DecayRate = Annotated[float, Field(ge=0, lt=1)]
Layers = Annotated[int, Field(gt=0, le=100)]  # a saved network of others is made before its weights are compared
Sizes = Annotated[tuple[Positive, ...], Field(min_length=1)]


@section
class AugmentationConfig:
    """Random distortions of each training window (Um et al., 2017), in standard deviations of the scaled features.

    Attributes:
        jitter_std: noise added to each value.
        time_shift_bars: most bars by which a window is shifted to earlier ones.
        magnitude_warp_std: of a smooth random factor of the values, around 1.
    """

    jitter_std: NonNegative = 0.0
    time_shift_bars: Count = 0
    magnitude_warp_std: NonNegative = 0.0


@section
class NetworkConfig:
    """Training parameters shared by all networks.

    `class_loss_weight` and `return_loss_weight` set the task: classification (1, 0), regression (0, 1) or both, as
    (0.6, 0.4).

    What a default is taken from: PyTorch (`dropout`, `layers`, the optimiser's and the schedules' parameters),
    scikit-learn's MLPClassifier (`learning_rate`, `batch_size`, `max_epochs`, `patience_epochs`), and Pascanu et al.
    (2013) for `gradient_clip`. Look-back and sizes have none: they depend on the data.

    Attributes:
        lookback_bars: bars in a window.
        dropout: share of units left out in training.
        learning_rate: of the first epoch; `schedule` says how it goes on.
        weight_decay: of the optimiser.
        batch_size: labels per update, in either mode; 0 chooses the largest that fits in memory.
        max_epochs: most epochs of a training.
        patience_epochs: epochs without an improvement of `monitor` after which a training stops.
        gradient_clip: largest norm of the gradient.
        class_loss_weight: of the cross-entropy of the classes.
        return_loss_weight: of the squared error of the standardised return.
        mode: whether a training step takes windows or longer sequences.
        sequence_bars: in the mode `sequence`, consecutive labels of each forward pass.
        optimiser: adamw decouples the weight decay from the gradient.
        betas: decay rates of the optimiser's moments.
        schedule: course of the learning rate.
        schedule_epochs: until the first warm restart, or without improvement until a plateau.
        t_mult: after a warm restart the period is this many times as long as before.
        eta_min: learning rate to which the cosines fall.
        plateau_factor: of the learning rate, at a plateau.
        monitor: logged metric that decides the number of epochs.
        device: auto takes an accelerator that PyTorch finds if one update is large enough for it, and the CPU else
            (MLOps/training/device.py).
        mixed_precision: whether layers are computed in bfloat16 in training, where the device has it.
        compile: whether PyTorch compiles the network.
        gradient_checkpointing: whether activations are computed again in the backward pass, which saves memory.
        uncertainty_samples: samples of Monte-Carlo dropout from which the uncertainty comes; with 0 it is the
            forecast's entropy.
        explain_windows: validation windows that are explained in plots.
        embedding_size: principal components of the last hidden layer that agents can observe.
        keep_checkpoints: whether the last checkpoint of each finished training stays in .cache/training: the weights
            and the optimiser's state after the last epoch.
        export: formats in which the trained network is also written, to models/exports.
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
    uncertainty_samples: Annotated[Count, Field(le=10_000)] = 0
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
    """A recurrent network.

    Attributes:
        hidden_size: units of a layer.
        layers: number of recurrent layers.
    """

    kind: Literal["lstm", "gru"]
    hidden_size: Positive
    layers: Layers = 1


@section
class BiLSTMConfig(NetworkConfig):
    """An LSTM that reads the window in both directions.

    Attributes:
        hidden_size: units of a layer in each direction.
        layers: number of recurrent layers.
    """

    reads_both_ways: ClassVar[bool] = True

    kind: Literal["bilstm"]
    hidden_size: Positive
    layers: Layers = 1


@section
class DLSTMConfig(NetworkConfig):
    """A recurrent path each for the trend and for the remainder.

    Attributes:
        hidden_size: units of a layer of each path.
        layers: number of recurrent layers of each path.
        trend_bars: length of the moving average that separates the trend from the remainder; the
            default is DLinear's (Zeng et al., 2023).
    """

    kind: Literal["dlstm"]
    hidden_size: Positive
    layers: Layers = 1
    trend_bars: Annotated[Positive, Field(le=100_000)] = 25


@section
class _ConvolutionalConfig(NetworkConfig):
    """Convolutions, an LSTM in both directions, and attention.

    Attributes:
        filters: channels of each convolution.
        kernels: width of each convolution, as many as filters.
        hidden_size: units of the LSTM in each direction.
        heads: attention heads, which must divide 2 × hidden_size.
        recurrent_layers: LSTM layers, stacked.
        attention_layers: attention layers, stacked.
        convolution_dropout: after each convolution.
        recurrent_dropout: after each LSTM layer.
        attention_dropout: after each attention layer; null takes `dropout`, which precedes the heads.
    """

    reads_both_ways: ClassVar[bool] = True

    filters: Sizes
    kernels: Sizes
    hidden_size: Positive
    heads: Positive
    recurrent_layers: Layers = 1
    attention_layers: Layers = 1
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
    """Sequential convolutions, a bidirectional LSTM and attention."""

    kind: Literal["cnn_lstm"]


@section
class HybridConfig(_ConvolutionalConfig):
    """Parallel convolutions and a bidirectional LSTM, joined by attention.

    Attributes:
        fusion_size: width of attention and of the fused state; null for 2 × hidden_size.
    """

    kind: Literal["hybrid"]
    fusion_size: Positive | None = None

    @property
    def attention_width(self) -> int:
        return self.fusion_size or 2 * self.hidden_size


@section
class ClassPriorConfig:
    """The class shares of the training rows."""

    lookback_bars: ClassVar[int] = 1

    kind: Literal["class_prior"]


@section
class PersistenceConfig:
    """The class shares after the newest known move.

    Attributes:
        feature: that move, for example return_5 if labels look five bars ahead.
    """

    lookback_bars: ClassVar[int] = 1

    kind: Literal["persistence"]
    feature: str


@section
class LogisticConfig:
    """Logistic regression on the flattened window.

    Attributes:
        lookback_bars: bars in a window.
        l2_penalty: strength of the regularisation, 1 / C; the default is scikit-learn's.
        explain_windows: validation windows that are explained in plots.
    """

    kind: Literal["logistic"]
    lookback_bars: Positive
    l2_penalty: PositiveNumber = 1.0
    explain_windows: Count = 0


@section
class RidgeConfig:
    """Ridge regression of the next return on the flattened window.

    Attributes:
        lookback_bars: bars in a window.
        l2_penalty: strength of the regularisation; the default is scikit-learn's.
        explain_windows: validation windows that are explained in plots.
    """

    kind: Literal["ridge"]
    lookback_bars: Positive
    l2_penalty: PositiveNumber = 1.0
    explain_windows: Count = 0


@section
class GradientBoostingConfig:
    """Scikit-learn's HistGradientBoostingClassifier, with its defaults.

    Attributes:
        lookback_bars: bars in a window.
        max_iter: most rounds; the selection span decides how many are kept.
        learning_rate: factor of each tree.
        max_leaf_nodes: of a tree.
        min_samples_leaf: rows in a leaf, at least.
        l2_penalty: of the values of the leaves.
        explain_windows: validation windows that are explained in plots.
    """

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
