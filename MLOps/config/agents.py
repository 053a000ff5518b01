"""The section `agents:` of params.yaml: one class per algorithm and a base class of shared parameters."""

from typing import Annotated, Any, Literal

from pydantic import Field

from MLOps.config.schema import parse, section
from MLOps.config.types import Names, NonNegative, Positive, PositiveNumber

Discount = Annotated[float, Field(gt=0, le=1)]


@section
class _ActorCriticConfig:
    """Parameters of on-policy actor-critic algorithms, named as in stable-baselines3 where it has the same ones.

    Attributes:
        observe: features of the bar that the agent observes, besides the forecasts and its account.
        environments: number of environments stepped in parallel.
        evaluate_every_steps: environment steps between evaluations on the validation span.
        evaluation_episodes: episodes of the validation span per evaluation, the same ones each time; null for the whole
            span.
        checkpoint_every_steps: environment steps between checkpoints, the most work that a killed training loses.
    """

    observe: Names
    environments: Positive
    total_timesteps: Positive
    n_steps: Positive
    learning_rate: PositiveNumber
    gamma: Discount
    gae_lambda: Annotated[float, Field(ge=0, le=1)]
    ent_coef: NonNegative
    vf_coef: NonNegative
    max_grad_norm: PositiveNumber
    net_arch: tuple[Positive, ...]
    evaluate_every_steps: Positive
    evaluation_episodes: Positive | None = None
    checkpoint_every_steps: Positive = 20_000


@section
class PPOConfig(_ActorCriticConfig):
    """Proximal policy optimisation (Schulman et al., 2017)."""

    kind: Literal["ppo"]
    batch_size: Positive
    n_epochs: Positive
    clip_range: PositiveNumber


@section
class A2CConfig(_ActorCriticConfig):
    """Advantage actor-critic, the synchronous form of A3C (Mnih et al., 2016)."""

    kind: Literal["a2c"]
    rms_prop_eps: PositiveNumber = 1e-5
    use_rms_prop: bool = True
    normalize_advantage: bool = False


AgentConfig = Annotated[PPOConfig | A2CConfig, Field(discriminator="kind")]
AgentConfigs = Annotated[dict[str, AgentConfig], Field(min_length=1)]


def parse_agent(values: Any, where: str) -> Any:
    """Parse the section of one agent into the class of its `kind`.

    Raises:
        UserError: naming `where` and the first key that is unknown, missing or of the wrong type.
    """
    return parse(AgentConfig, values, where)  # type: ignore[arg-type]
