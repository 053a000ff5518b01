"""The section `agents:` of params.yaml: one class per algorithm. Parameters have the names and the defaults of
stable-baselines3 and sb3-contrib; those of our own are listed in `OWN`."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from MLOps.config.schema import parse, section
from MLOps.config.types import Count, Names, NonNegative, Positive, PositiveNumber, Share, VariantName

Discount = Annotated[float, Field(gt=0, le=1)]
Portion = Annotated[float, Field(ge=0, le=1)]
Odds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Layers = tuple[Positive, ...]
Activation = Literal["tanh", "relu", "elu", "leaky_relu", "silu"]

# The schemes of `trading.scheme` by what an action is: one of a list, or numbers.
CHOICES = ("targets", "discrete")
NUMBERS = ("weights", "shares")

# Parameters that are not stable-baselines3's.
OWN = (
    "kind",
    "observe",
    "seeds",
    "environments",
    "total_timesteps",
    "evaluate_every_steps",
    "evaluation_episodes",
    "checkpoint_every_steps",
    "keep_checkpoints",
    "curriculum",
    "replay_memory_share",
    "precision",
)


@section
class LinearSchedule:
    """A parameter that moves in a straight line over the training.

    Attributes:
        start: value at the first step.
        end: value at the last step.
    """

    start: PositiveNumber
    end: NonNegative


Scheduled = PositiveNumber | LinearSchedule


@section
class PolicyAndValue:
    """Hidden layers of policy and value function, each its own.

    Attributes:
        pi: widths of the policy's.
        vf: widths of the value function's.
    """

    pi: Layers
    vf: Layers


@section
class PolicyAndQ:
    """Hidden layers of policy and action values, each its own.

    Attributes:
        pi: widths of the policy's.
        qf: widths of the action values'.
    """

    pi: Layers
    qf: Layers


@section
class ActionNoise:
    """Noise added to the actions in training.

    Attributes:
        kind: ornstein_uhlenbeck is correlated in time (Lillicrap et al., 2016).
        sigma: standard deviation.
    """

    kind: Literal["normal", "ornstein_uhlenbeck"] = "normal"
    sigma: PositiveNumber = 0.1


@section
class ObserveConfig:
    """What an agent observes besides its account.

    Attributes:
        features: of the bar, from features.names.
        predictors: names of predictors, or `ensemble`, whose forecasts are observed; null for the members of the
            ensemble, or the ensemble itself if no predictor passed validation.
        embeddings: names of networks whose embedding is observed; each needs an `embedding_size`.
        fine_tuned: name of a network with an `embedding_size` that the agent goes on to train by the gradient of its
            policy, and whose embedding it observes; null for none.
    """

    features: Names
    predictors: Names | None = None
    embeddings: tuple[str, ...] = ()
    fine_tuned: str | None = None


@section
class CurriculumStage:
    """A first part of a training, with other rules or episodes than the rest.

    Attributes:
        until: share of total_timesteps at which the stage ends.
        costs: multiple of fees, slippage and the costs of borrowing.
        calmest: episodes are drawn from this share of all possible ones, those of the lowest volatility.
        uncertainty_odds: how many times as often the episode of the most uncertain forecasts is drawn as that of the
            most certain ones; below 1 prefers certain forecasts.
        episode_bars: length of an episode; null for trading.episode_bars.
    """

    until: Annotated[float, Field(gt=0, le=1)]
    costs: NonNegative = 1.0
    calmest: Annotated[float, Field(gt=0, le=1)] = 1.0
    uncertainty_odds: Odds = 1.0
    episode_bars: Positive | None = None


@section
class _AgentConfig:
    """Parameters of all algorithms.

    Attributes:
        schemes: the trading schemes in which the algorithm can act.
        masks: actions without an effect of their own are not chosen.
        observe: what the agent observes.
        seeds: number of trainings, alike but for their seeds; the one with the highest validation reward goes on.
        environments: number of environments stepped in parallel.
        total_timesteps: length of the training, of all environments together.
        evaluate_every_steps: environment steps between evaluations on the validation span.
        evaluation_episodes: episodes of the validation span per evaluation, the same ones each time; null for the whole
            span.
        checkpoint_every_steps: environment steps between checkpoints, the most work that a killed training loses.
        keep_checkpoints: leave the last checkpoint of each finished training in .cache/training.
        curriculum: the first stages of the training; what follows the last is trained by the rules of `trading`.
        gamma: discount of the reward of a later step.
        activation_fn: of the hidden layers.
        device: where the networks are trained; auto takes CUDA if one update is large enough for it, and the CPU else
            (MLOps/training/device.py).
    """

    schemes: ClassVar[tuple[str, ...]]
    masks: ClassVar[bool] = False

    observe: ObserveConfig
    seeds: Positive = 1
    environments: Positive = 64
    total_timesteps: Positive
    evaluate_every_steps: Positive = 10_000
    evaluation_episodes: Positive | None = None
    checkpoint_every_steps: Positive = 20_000
    keep_checkpoints: bool = False
    curriculum: tuple[CurriculumStage, ...] = ()
    gamma: Discount = 0.99
    activation_fn: Activation = "relu"
    device: Literal["cpu", "cuda", "auto"] = "cpu"

    @model_validator(mode="after")
    def _stages_follow_each_other(self) -> "_AgentConfig":
        ends = [stage.until for stage in self.curriculum]
        if ends != sorted(set(ends)):
            raise ValueError(
                f"curriculum: expected each stage to end later than the one before, found {ends}; sort them"
            )
        return self


@section
class _OnPolicyConfig(_AgentConfig):
    """Parameters of on-policy algorithms. A rollout has n_steps × environments steps.

    Attributes:
        gae_lambda: weight of longer returns in the generalised advantage estimate; 1 takes whole returns.
        normalize_advantage: whether advantages are standardised.
        net_arch: widths of the hidden layers.
        ortho_init: whether weights start as orthogonal matrices.
        log_std_init: logarithm of the first standard deviation of actions that are numbers.
        learning_rate: of the optimiser.
        n_steps: steps of each environment in a rollout.
        batch_size: steps of an update.
        target_kl: Kullback-Leibler divergence of the policies before and after an update that ends it; null for none.
    """

    schemes: ClassVar[tuple[str, ...]] = (*CHOICES, *NUMBERS)

    gae_lambda: Portion = 0.95
    normalize_advantage: bool = True
    net_arch: Layers | PolicyAndValue = (64, 64)
    activation_fn: Activation = "tanh"
    ortho_init: bool = True


@section
class _ActorCriticConfig(_OnPolicyConfig):
    """Parameters of algorithms that minimise one loss of policy and value function.

    Attributes:
        precision: of the hidden layers in training; bfloat16 is quicker for wide ones, on a processor that has it.
        max_grad_norm: largest norm of the gradient.
        ent_coef: weight of the policy's entropy in the loss.
        vf_coef: weight of the value function's error in the loss.
    """

    precision: Literal["float32", "bfloat16"] = "float32"
    max_grad_norm: PositiveNumber = 0.5
    ent_coef: NonNegative = 0.0
    vf_coef: NonNegative = 0.5


@section
class _PPOConfig(_ActorCriticConfig):
    """Parameters of PPO and its variants.

    Attributes:
        n_epochs: passes over each rollout.
        clip_range: largest change of an action's probability, as a fraction.
        clip_range_vf: largest change of the value function; null for no limit.
    """

    learning_rate: Scheduled = 3e-4
    n_steps: Positive = 2048
    batch_size: Positive = 64
    n_epochs: Positive = 10
    clip_range: Scheduled = 0.2
    clip_range_vf: Scheduled | None = None
    target_kl: PositiveNumber | None = None


@section
class PPOConfig(_PPOConfig):
    """Proximal policy optimisation (Schulman et al., 2017)."""

    kind: Literal["ppo"]
    log_std_init: float = 0.0


@section
class MaskablePPOConfig(_PPOConfig):
    """PPO that chooses among the actions that have an effect of their own (Huang and Ontañón, 2022)."""

    schemes: ClassVar[tuple[str, ...]] = ("discrete",)
    masks: ClassVar[bool] = True

    kind: Literal["maskable_ppo"]


@section
class RecurrentPPOConfig(_PPOConfig):
    """PPO with an LSTM before the layers of policy and value function.

    Attributes:
        lstm_hidden_size: units of the LSTM.
        enable_critic_lstm: the value function has an LSTM of its own.
    """

    kind: Literal["recurrent_ppo"]
    log_std_init: float = 0.0
    n_steps: Positive = 128
    batch_size: Positive = 128
    lstm_hidden_size: Positive = 256
    enable_critic_lstm: bool = True


@section
class A2CConfig(_ActorCriticConfig):
    """Advantage actor-critic, the synchronous form of A3C (Mnih et al., 2016).

    Attributes:
        use_rms_prop: RMSProp is the optimiser, otherwise Adam.
        rms_prop_eps: added to RMSProp's denominator.
    """

    kind: Literal["a2c"]
    log_std_init: float = 0.0
    learning_rate: Scheduled = 7e-4
    n_steps: Positive = 5
    gae_lambda: Portion = 1.0
    rms_prop_eps: PositiveNumber = 1e-5
    use_rms_prop: bool = True
    normalize_advantage: bool = False


@section
class TRPOConfig(_OnPolicyConfig):
    """Trust region policy optimisation (Schulman et al., 2015).

    Attributes:
        learning_rate: of the value function.
        cg_max_steps: most steps of the conjugate gradient.
        cg_damping: added to the diagonal of the Hessian.
        line_search_shrinking_factor: of the step, while it is not accepted.
        line_search_max_iter: most steps of the line search.
        n_critic_updates: updates of the value function for each of the policy.
        target_kl: largest Kullback-Leibler divergence of an update.
        sub_sampling_factor: each so many steps of the rollout are used.
    """

    kind: Literal["trpo"]
    log_std_init: float = 0.0
    learning_rate: Scheduled = 1e-3
    n_steps: Positive = 2048
    batch_size: Positive = 128
    cg_max_steps: Positive = 15
    cg_damping: NonNegative = 0.1
    line_search_shrinking_factor: Annotated[float, Field(gt=0, lt=1)] = 0.8
    line_search_max_iter: Positive = 10
    n_critic_updates: Positive = 10
    target_kl: PositiveNumber = 0.01
    sub_sampling_factor: Positive = 1


@section
class _OffPolicyConfig(_AgentConfig):
    """Parameters of algorithms with a replay buffer.

    Every `train_freq` steps of all environments together are train_freq × environments transitions, after which
    `gradient_steps` updates follow; -1 makes as many updates as there were transitions.

    Attributes:
        buffer_size: transitions that the replay buffer holds.
        replay_memory_share: largest share of the available memory that the replay buffer may need when full; a
            checkpoint needs as much again while it is loaded.
        learning_starts: random transitions before the first update.
        batch_size: transitions of an update.
        train_freq: steps of each environment between updates.
        gradient_steps: updates each time; -1 for as many as there were transitions.
        n_steps: steps whose rewards are summed before the value of the last observation follows.
        learning_rate: of the optimiser.
        tau: share by which the target network follows at each of its updates; 1 copies.
        net_arch: widths of the hidden layers.
    """

    buffer_size: Positive = 1_000_000
    replay_memory_share: Share = 0.4
    learning_starts: Count = 100
    batch_size: Positive = 256
    train_freq: Positive = 1
    gradient_steps: Annotated[int, Field(ge=-1)] = 1
    n_steps: Positive = 1


@section
class _QLearningConfig(_OffPolicyConfig):
    """Parameters of deep Q-learning. Each environment explores by a draw of its own.

    Attributes:
        target_update_interval: environment steps between updates of the target network.
        exploration_fraction: share of the training over which the exploration falls.
        exploration_initial_eps: probability of a random action at first.
        exploration_final_eps: probability of a random action after that share.
        max_grad_norm: largest norm of the gradient; null for no limit.
    """

    schemes: ClassVar[tuple[str, ...]] = CHOICES

    learning_rate: Scheduled = 1e-4
    batch_size: Positive = 32
    train_freq: Positive = 4
    tau: Portion = 1.0
    target_update_interval: Positive = 10_000
    exploration_fraction: Portion = 0.1
    exploration_initial_eps: Portion = 1.0
    exploration_final_eps: Portion = 0.05
    max_grad_norm: PositiveNumber | None = 10.0
    net_arch: Layers = (64, 64)


@section
class DQNConfig(_QLearningConfig):
    """Deep Q-network (Mnih et al., 2015)."""

    kind: Literal["dqn"]


@section
class QRDQNConfig(_QLearningConfig):
    """DQN over quantiles of the return (Dabney et al., 2018).

    Attributes:
        n_quantiles: of the return.
    """

    kind: Literal["qr_dqn"]
    learning_rate: Scheduled = 5e-5
    exploration_fraction: Portion = 0.005
    exploration_final_eps: Portion = 0.01
    max_grad_norm: PositiveNumber | None = None
    n_quantiles: Positive = 200


@section
class RainbowConfig(_QLearningConfig):
    """Rainbow DQN (Hessel et al., 2018). A transition is replayed gradient_steps × batch_size / (train_freq ×
    environments) times on average; the defaults give 64 environments the 8 times of DQN with one.

    Attributes:
        n_steps: bars whose rewards are summed before the value of the last observation follows.
        n_atoms: atoms of the distribution of returns.
        v_max: its atoms lie evenly in [-v_max, v_max]; null chooses it from the rewards of the first random steps.
        sigma0: initial standard deviation of the noise on the weights, times the square root of the layer's inputs. The
            noise explores; exploration_initial_eps and exploration_final_eps add epsilon-greedy actions to it.
        prioritized_replay_alpha: exponent of the priorities; 0 replays uniformly.
        prioritized_replay_beta0: exponent of the importance weights at first; it rises to 1 over the training.
        net_arch: the last width is that of the hidden layers of value and advantage, one each.
    """

    kind: Literal["rainbow"]
    learning_rate: Scheduled = 1e-3
    buffer_size: Positive = 20_000
    learning_starts: Positive = 2_000
    batch_size: Positive = 256
    train_freq: Positive = 1
    gradient_steps: Annotated[int, Field(ge=-1)] = 2
    n_steps: Positive = 3
    target_update_interval: Positive = 2_000
    exploration_initial_eps: Portion = 0.0
    exploration_final_eps: Portion = 0.0
    net_arch: Annotated[Layers, Field(min_length=1)] = (64, 64)
    n_atoms: Annotated[int, Field(ge=2)] = 51
    v_max: PositiveNumber | None = None
    sigma0: NonNegative = 0.5
    prioritized_replay_alpha: Portion = 0.5
    prioritized_replay_beta0: Portion = 0.4

    def __post_init__(self) -> None:
        if self.v_max is None and self.gamma == 1:
            raise ValueError("with gamma 1 the returns of rewards have no bound; set v_max")


@section
class _ContinuousConfig(_OffPolicyConfig):
    """Parameters of off-policy algorithms whose actions are numbers.

    Attributes:
        action_noise: added to the actions in training; null for none.
        n_critics: networks of action values.
    """

    schemes: ClassVar[tuple[str, ...]] = NUMBERS

    action_noise: ActionNoise | None = None
    net_arch: Layers | PolicyAndQ = (256, 256)
    n_critics: Positive = 2


@section
class _DeterministicConfig(_ContinuousConfig):
    learning_rate: Scheduled = 1e-3
    tau: Portion = 0.005
    net_arch: Layers | PolicyAndQ = (400, 300)


@section
class DDPGConfig(_DeterministicConfig):
    """Deep deterministic policy gradient (Lillicrap et al., 2016)."""

    kind: Literal["ddpg"]
    n_critics: Positive = 1


@section
class TD3Config(_DeterministicConfig):
    """Twin delayed DDPG (Fujimoto et al., 2018).

    Attributes:
        policy_delay: updates of the critics for each of the policy.
        target_policy_noise: standard deviation of the noise on the target policy's actions.
        target_noise_clip: its largest size.
    """

    kind: Literal["td3"]
    policy_delay: Positive = 2
    target_policy_noise: NonNegative = 0.2
    target_noise_clip: NonNegative = 0.5


Entropy = NonNegative | Annotated[str, Field(pattern=r"^auto(_[0-9]*\.?[0-9]+)?$")]


@section
class _SoftConfig(_ContinuousConfig):
    """Parameters of algorithms that maximise entropy too.

    Attributes:
        ent_coef: weight of the entropy; `auto` learns it from 1, `auto_0.02` from 0.02.
        target_entropy: entropy at which `ent_coef: auto` aims; auto takes minus the number of action's values.
    """

    learning_rate: Scheduled = 3e-4
    ent_coef: Entropy = "auto"
    target_entropy: float | Literal["auto"] = "auto"


@section
class _SoftTargetConfig(_SoftConfig):
    """With target networks.

    Attributes:
        target_update_interval: updates between those of the target networks.
    """

    tau: Portion = 0.005
    target_update_interval: Positive = 1


@section
class SACConfig(_SoftTargetConfig):
    """Soft actor-critic (Haarnoja et al., 2018)."""

    kind: Literal["sac"]


@section
class TQCConfig(_SoftTargetConfig):
    """Truncated quantile critics (Kuznetsov et al., 2020).

    Attributes:
        n_quantiles: of each critic.
        top_quantiles_to_drop_per_net: largest quantiles of each critic that are left out.
    """

    kind: Literal["tqc"]
    n_quantiles: Positive = 25
    top_quantiles_to_drop_per_net: Count = 2


@section
class CrossQConfig(_SoftConfig):
    """CrossQ: soft actor-critic with batch renormalisation and without target networks (Bhatt et al., 2024).

    Attributes:
        policy_delay: updates of the critics for each of the policy.
        batch_norm_momentum: share by which the running moments follow each batch.
        renorm_warmup_steps: updates until the running moments are used.
    """

    kind: Literal["crossq"]
    learning_rate: Scheduled = 1e-3
    policy_delay: Positive = 3
    batch_norm_momentum: Portion = 0.01
    renorm_warmup_steps: Count = 100_000


AgentConfig = Annotated[
    PPOConfig
    | MaskablePPOConfig
    | RecurrentPPOConfig
    | A2CConfig
    | TRPOConfig
    | DQNConfig
    | QRDQNConfig
    | RainbowConfig
    | DDPGConfig
    | TD3Config
    | SACConfig
    | TQCConfig
    | CrossQConfig,
    Field(discriminator="kind"),
]
AgentConfigs = Annotated[dict[VariantName, AgentConfig], Field(min_length=1)]


def parse_agent(values: Any, where: str) -> Any:
    """Parse the section of one agent into the class of its `kind`.

    Raises:
        UserError: naming `where` and the first key that is unknown, missing or of the wrong type.
    """
    return parse(AgentConfig, values, where)  # type: ignore[arg-type]
