"""Every section of params.yaml as a frozen dataclass, and the reading of the file."""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, model_validator

from MLOps.config.data import DataConfig, LabelConfig
from MLOps.config.predictors import PredictorConfig, SearchConfig
from MLOps.config.schema import parse, section, suggest
from MLOps.config.trading import TradingConfig
from MLOps.errors import UserError

Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(gt=0, lt=1)]


@section
class TrackingConfig:
    """Where runs and models are kept; MLFLOW_TRACKING_URI overrides `uri`. `tensorboard` writes event files besides."""

    uri: str
    experiment: str
    registered_model: str
    tensorboard: bool = False


@section
class SplitConfig:
    """Shares of the timeline, in order; `embargo_bars` are left out after each cut, besides the purge.

    `selection` is the share of the training span, its last bars, on which predictors choose epochs, rounds and searched
    parameters. `folds` cut the training span for out-of-fold forecasts.
    """

    train: Share
    validation: Share
    test: Share
    embargo_bars: Count
    folds: Annotated[int, Field(ge=2)]
    selection: Share = 0.15

    @model_validator(mode="after")
    def _shares_fill_the_timeline(self) -> "SplitConfig":
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train + validation + test must be 1, they are {total:g}")
        return self


@section
class FeatureConfig:
    """`names` picks features, and families, of MLOps/features/catalogue.py, in order."""

    names: Annotated[tuple[str, ...], Field(min_length=1)]


@section
class ValidationConfig:
    """A predictor passes when it beats each baseline's log loss, at this confidence of a two-sided interval.

    `use` says what a predictor that passes must know to be a member of the ensemble that agents observe: `direction` or
    `magnitude`; with both, passing is enough. `ensemble` says how the members become one; see `Ensemble.fit`.
    """

    confidence: Share
    ensemble: Literal["mean", "weighted", "stacking"]
    use: Annotated[tuple[Literal["direction", "magnitude"], ...], Field(min_length=1)] = ("direction", "magnitude")


@section
class PPOConfig:
    """Names as in stable-baselines3."""

    kind: Literal["ppo"]
    observe: Annotated[tuple[str, ...], Field(min_length=1)]
    environments: Positive
    total_timesteps: Positive
    n_steps: Positive
    batch_size: Positive
    n_epochs: Positive
    learning_rate: Annotated[float, Field(gt=0)]
    gamma: Annotated[float, Field(gt=0, le=1)]
    gae_lambda: Annotated[float, Field(ge=0, le=1)]
    clip_range: Annotated[float, Field(gt=0)]
    ent_coef: Annotated[float, Field(ge=0)]
    vf_coef: Annotated[float, Field(ge=0)]
    max_grad_norm: Annotated[float, Field(gt=0)]
    net_arch: tuple[Positive, ...]
    evaluate_every_steps: Positive


AgentConfig = PPOConfig


@section
class BacktestConfig:
    random_draws: Positive
    moving_average_fast_bars: Positive
    moving_average_slow_bars: Positive
    bootstrap_samples: Annotated[int, Field(ge=100)]
    block_bars: Positive
    confidence: Share


@section
class GateConfig:
    """The checks before the alias `champion` moves; all must hold, and every refusal is told with its reason.

    `random_quantile`: of the total returns that the agent's own trades earn at random times.
    """

    min_span_days: Count
    min_cagr: float
    min_sharpe: float
    max_drawdown: Annotated[float, Field(gt=0, le=1)]
    beat_buy_and_hold: bool
    random_quantile: Share
    beat_champion: bool


@section
class Params:
    """params.yaml, whole and checked. `predictors` and `agents` are named variants: naming one more trains one more."""

    seed: Count
    threads: Positive
    tracking: TrackingConfig
    data: DataConfig
    splits: SplitConfig
    features: FeatureConfig
    labels: LabelConfig
    predictors: Annotated[dict[str, PredictorConfig], Field(min_length=1)]
    search: SearchConfig
    validation: ValidationConfig
    trading: TradingConfig
    agents: Annotated[dict[str, AgentConfig], Field(min_length=1)]
    backtest: BacktestConfig
    gate: GateConfig

    @model_validator(mode="after")
    def _sections_agree(self) -> "Params":
        for name in self.search.spaces:
            if name not in self.predictors:
                raise ValueError(f"search.spaces: unknown predictor {name!r}; {suggest(name, self.predictors)}")
        if (self.data.source == "labelled") != (self.labels.kind == "target"):
            raise ValueError(
                f"labels.kind: data.source is {self.data.source} and labels.kind {self.labels.kind}; "
                "the source labelled and the kind target go together, for neither works without the other"
            )
        if self.data.source == "labelled" and self.data.sentiment.enabled:
            raise ValueError("data.sentiment.enabled: a labelled table has no bars to join sentiment to; set false")
        if self.trading.scheme != "discrete":
            raise ValueError("trading.scheme: the pipeline's agents trade with the nine discrete actions: set discrete")
        if self.trading.turbulence_stop is not None:
            raise ValueError("trading.turbulence_stop: no stage gives the market its turbulence: set null")
        if "@" in self.tracking.uri.partition("//")[2].partition("/")[0]:
            raise ValueError("tracking.uri: credentials would reach the log: set MLFLOW_TRACKING_URI instead")
        return self


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check params.yaml.

    Raises:
        UserError: the file is missing or no YAML, or a key in it is unknown, missing or ill-typed.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file in {path.resolve().parent}; run from the folder that holds it")
    try:
        values = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not readable as YAML: {' '.join(str(error).split())}; correct it") from None
    return parse(Params, values, str(path))
