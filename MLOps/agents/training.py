"""Training of an agent, by any algorithm, on the compiled environments."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from numbers import Real
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.progress import Progress
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger

from MLOps.agents.algorithms import ALGORITHMS
from MLOps.agents.checkpointing import Checkpointing
from MLOps.agents.contract import Algorithm
from MLOps.agents.curriculum import Curriculum
from MLOps.agents.fine_tuning import Pretrained, fine_tuned, with_embedding_names
from MLOps.agents.learner_state import Arrays, by_part
from MLOps.agents.network import PolicyNetwork
from MLOps.agents.observations import MarketView
from MLOps.agents.policy import Agent
from MLOps.agents.replay_memory import check_replay_memory
from MLOps.artifacts import value_hash
from MLOps.config.agents import AgentConfig
from MLOps.config.trading import TradingConfig
from MLOps.errors import UserError
from MLOps.imports import code_hash
from MLOps.predictors import predictor_modules
from MLOps.progress import progress_bars
from MLOps.trading import Market, simulate
from MLOps.trading.vector import TradingVecEnv
from MLOps.training.checkpoints import Checkpoints
from MLOps.training.device import pick_device, weights_of
from MLOps.training.seeds import derive_seed

OnStep = Callable[[int, Mapping[str, float]], None]

# Rows of an algorithm's own metrics in the history of a training, unless it has fewer rollouts.
HISTORY_ROWS = 100


def train(
    config: AgentConfig,
    view: MarketView,
    market: Market,
    validation: Market,
    trading: TradingConfig,
    seed: int,
    on_step: OnStep,
    checkpoints: Path | None = None,
    pretrained: Pretrained | None = None,
) -> tuple[Agent, float]:
    """Train on `market` and keep the weights with the highest reward on `validation`.

    Args:
        on_step: called with the environment steps so far and the metrics of a rollout or an evaluation; a resumed
            training first reports what the killed one had reported.
        checkpoints: for the checkpoints of all trainings; those of this one are in a subfolder named by the hash of
            everything it depends on. The same call after a kill resumes there and ends with the same result. Without a
            folder nothing is saved.
        pretrained: a network to train on with the policy; both markets then have its windows as their last column.

    Returns:
        The agent, and its mean reward a bar on the evaluated bars of validation.

    Raises:
        UserError: the replay buffer would not fit into memory, or the market allows no episode.
    """
    algorithm: Algorithm = resolve_name(ALGORITHMS[config.kind])
    environments = TradingVecEnv(market, trading, config.environments, derive_seed(seed, config.kind, "environments"))
    check_replay_memory(config, algorithm.replay_bytes(config, environments))
    config, learner = _on_device(algorithm, config, environments, derive_seed(seed, config.kind, "learner"), pretrained)

    def agent_of(learnt: Learnt) -> Agent:
        columns = environments.columns
        if pretrained is None:
            return Agent(config, trading, view, columns, learnt.network)
        columns = with_embedding_names(columns, pretrained.predictor.config.embedding_size)
        tuned = fine_tuned(pretrained.predictor, learnt.tuned)
        return Agent(config, trading, view, columns, learnt.network, tuned)

    def evaluate(learnt: Learnt) -> float:
        agent = agent_of(learnt)
        seen, span_seed = agent.seen(validation, pretrained), derive_seed(seed, "evaluation")
        spans = evaluation_spans(seen, trading, config.evaluation_episodes, span_seed)
        return float(np.mean([mean_reward(agent, span, trading) for span in spans]))

    def learnt_now() -> Learnt:
        return Learnt(algorithm.policy_network(learner), algorithm.tuned_weights(learner))

    with progress_bars() as progress:
        selection = _Selection(learnt_now, evaluate, config, on_step, progress)
        learner.set_logger(Logger(folder=None, output_formats=[_ToHistory(selection.tell)]))
        saving = None
        if checkpoints is not None:
            folder = checkpoints / _identity(config, view, market, validation, trading, seed, pretrained)
            saving = Checkpointing(Checkpoints(folder), config.checkpoint_every_steps, selection)
        if saving is None or not saving.restore_finished():
            callbacks: list[BaseCallback] = [selection] if saving is None else [selection, saving]
            if config.curriculum:
                callbacks.append(Curriculum(config, environments, market, trading))
            try:
                learner.learn(config.total_timesteps, callbacks, log_interval=None)  # type: ignore[arg-type]
            except ValueError:
                # PyTorch refuses a distribution whose parameters are not numbers.
                _check_finite(learner)
                raise
            selection.evaluate()
            if saving is not None:
                saving.save_finished()
    return agent_of(selection.best), selection.best_reward


def mean_reward(agent: Agent, market: Market, trading: TradingConfig) -> float:
    """Reward a bar over the whole market, averaged over its accounts."""
    return float(simulate(agent.policy(), market, trading).rewards.mean())


def evaluation_spans(market: Market, trading: TradingConfig, episodes: int | None, seed: int) -> list[Market]:
    """The parts of a market on which an agent is evaluated.

    Args:
        episodes: number of parts, each `trading.episode_bars` long, with random starts; None for the whole market,
            which is also the one part where an episode would be no shorter.
    """
    steps = trading.episode_bars
    if episodes is None or steps is None or steps + 1 >= market.n_bars:
        return [market]
    starts = np.random.default_rng(seed).integers(0, market.n_bars - steps, episodes)
    # An episode of n steps has n + 1 bars; `between` excludes its end.
    ends = [market.timestamps[start + steps + 1] if start + steps + 1 < market.n_bars else None for start in starts]
    return [market.between(market.timestamps[start], end) for start, end in zip(starts, ends, strict=True)]


class Learnt(NamedTuple):
    """What a training keeps: the policy, and the weights of the network trained with it (`Algorithm.tuned_weights`)."""

    network: PolicyNetwork
    tuned: Arrays


class _ToHistory(KVWriter):
    """Passes on stable-baselines3's metrics under their own names."""

    def __init__(self, tell: OnStep) -> None:
        self._tell = tell

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        # Times would make two equal runs differ.
        kept = {k: float(v) for k, v in key_values.items() if not k.startswith("time/") and isinstance(v, Real)}
        if kept:
            self._tell(step, kept)

    def close(self) -> None:
        """There is nothing to close."""


class _Selection(BaseCallback):
    """Evaluates on validation every `evaluate_every_steps`, keeps the best weights, and reports metrics."""

    best: Learnt

    def __init__(
        self,
        learnt_now: Callable[[], Learnt],
        reward_of: Callable[[Learnt], float],
        config: AgentConfig,
        on_step: OnStep,
        progress: Progress,
    ) -> None:
        super().__init__()
        self._learnt_now, self._reward_of, self._on_metrics = learnt_now, reward_of, on_step
        self._evaluate_every, self._log_every = config.evaluate_every_steps, config.total_timesteps // HISTORY_ROWS
        self._evaluated_at = self._logged_at = 0
        self._history: list[tuple[int, dict[str, float]]] = []
        self._progress = progress
        self._task = progress.add_task(f"{config.kind}: steps", total=config.total_timesteps)
        self.best_reward = -np.inf

    def tell(self, step: int, metrics: Mapping[str, float]) -> None:
        """Report metrics, and keep them for a checkpoint."""
        self._history.append((step, dict(metrics)))
        self._on_metrics(step, metrics)

    def evaluate(self) -> None:
        _check_finite(self.model)
        learnt = self._learnt_now()
        reward = self._reward_of(learnt)
        self._evaluated_at = self.model.num_timesteps
        self.tell(self._evaluated_at, {"validation_reward": reward})
        if reward > self.best_reward:
            self.best_reward, self.best = reward, learnt

    def capture(self) -> tuple[Arrays, dict[str, Any]]:
        """See `Resumable`."""
        arrays: Arrays = {}
        if hasattr(self, "best"):
            arrays = {f"best.{name}": array for name, array in self.best.network.to_arrays().items()}
            arrays |= {f"tuned.{name}": array for name, array in self.best.tuned.items()}
        return arrays, {
            "best_reward": self.best_reward,
            "evaluated_at": self._evaluated_at,
            "logged_at": self._logged_at,
            "history": self._history,
        }

    def restore(self, arrays: Arrays, metadata: dict[str, Any]) -> None:
        """See `Resumable`; reports the history again."""
        self.best_reward = metadata["best_reward"]
        self._evaluated_at, self._logged_at = metadata["evaluated_at"], metadata["logged_at"]
        parts = by_part(arrays)
        if "best" in parts:
            self.best = Learnt(PolicyNetwork.from_arrays(parts["best"]), parts.get("tuned", {}))
        for step, metrics in metadata["history"]:
            self.tell(step, metrics)

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        if self.model.num_timesteps - self._evaluated_at >= self._evaluate_every:
            self.evaluate()

    def _on_rollout_end(self) -> None:
        self._progress.update(self._task, completed=self.model.num_timesteps)
        # Not by `log_interval`, which counts in a local variable of `learn` that no checkpoint can hold.
        if self.model.num_timesteps - self._logged_at >= self._log_every:
            self._logged_at = self.model.num_timesteps
            self.model.dump_logs()


def _on_device(
    algorithm: Algorithm, config: AgentConfig, environments: TradingVecEnv, seed: int, pretrained: Pretrained | None
) -> tuple[AgentConfig, BaseAlgorithm]:
    """An untrained learner on the configured device, and the configuration, which names CUDA if `auto` has chosen it.

    Raises:
        UserError: the device is not available.
    """
    # The networks are counted on the CPU, and made again elsewhere if they are large.
    learner = algorithm.learner(replace(config, device="cpu"), environments, seed, pretrained)
    rows = getattr(config, "batch_size", 0) or config.n_steps * config.environments
    bars = 1 if pretrained is None else pretrained.predictor.lookback_bars
    if pick_device(config.device, weights_of(learner.policy) * rows * bars, "agents").type != "cuda":
        return config, learner
    config = replace(config, device="cuda")
    return config, algorithm.learner(config, environments, seed, pretrained)


def _check_finite(learner: BaseAlgorithm) -> None:
    """
    Raises:
        UserError: the policy's parameters have become infinite or NaN.
    """
    if not all(parameter.isfinite().all() for parameter in learner.policy.parameters()):
        raise UserError(
            "agents: the training diverged: expected finite parameters of the policy, found infinite ones or NaN "
            f"after {learner.num_timesteps} steps; lower learning_rate"
        )


def _identity(
    config: AgentConfig,
    view: MarketView,
    market: Market,
    validation: Market,
    trading: TradingConfig,
    seed: int,
    pretrained: Pretrained | None,
) -> str:
    """Hash of everything that the result of a training depends on."""
    digest, modules = hashlib.sha256(), [__name__, ALGORITHMS[config.kind].partition(":")[0]]
    for part in (market, validation):
        for array in (part.timestamps, *part.block):
            digest.update(np.ascontiguousarray(array).view(np.uint8).data)
        digest.update(f"{part.first} {part.stop}".encode())
    if pretrained is not None:
        digest.update(pretrained.windows.values.view(np.uint8).data)
        digest.update(pretrained.predictor.content_hash().encode())
        modules += predictor_modules(pretrained.predictor.config.kind)
    code = code_hash(*modules)
    libraries = [version(name) for name in ("numba", "numpy", "sb3-contrib", "stable-baselines3", "torch")]
    settings = [asdict(config), view.to_dict(), asdict(trading), seed, torch.get_num_threads()]
    return value_hash([settings, digest.hexdigest(), code, libraries])[:32]
