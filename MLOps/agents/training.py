"""Training of an agent, by any algorithm, on the compiled environments."""

from collections.abc import Callable, Mapping
from numbers import Real
from pkgutil import resolve_name
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger
from stable_baselines3.common.vec_env import VecEnv

from MLOps.agents.algorithms import ALGORITHMS
from MLOps.agents.contract import Algorithm
from MLOps.agents.observations import MarketView
from MLOps.agents.policy import Agent
from MLOps.config.agents import AgentConfig
from MLOps.config.trading import TradingConfig
from MLOps.trading import Market, observation_columns, simulate
from MLOps.trading.vector import TradingVecEnv
from MLOps.training.progress import progress_bars
from MLOps.training.seeds import derive_seed

OnStep = Callable[[int, Mapping[str, float]], None]


def train(
    config: AgentConfig,
    view: MarketView,
    market: Market,
    validation: Market,
    trading: TradingConfig,
    seed: int,
    on_step: OnStep,
) -> tuple[Agent, float]:
    """Train on `market` and keep the weights with the highest reward on `validation`.

    Args:
        on_step: called with the environment steps so far and the metrics of a rollout or an evaluation.

    Returns:
        The agent, and its mean reward a bar on validation.
    """
    algorithm: Algorithm = resolve_name(ALGORITHMS[config.kind])
    environments: VecEnv = TradingVecEnv(
        market, trading, config.environments, derive_seed(seed, config.kind, "environments")
    )
    learner = algorithm.learner(config, environments, derive_seed(seed, config.kind, "learner"))
    learner.set_logger(Logger(folder=None, output_formats=[_ToHistory(on_step)]))
    columns = tuple(observation_columns(market, trading))

    def agent_now() -> Agent:
        return Agent(config, trading, view, columns, algorithm.policy_network(learner))

    keeper = _KeepBest(agent_now, validation, trading, config, on_step)
    learner.learn(config.total_timesteps, callback=keeper)
    keeper.evaluate()
    return keeper.best, keeper.best_reward


def mean_reward(agent: Agent, market: Market, trading: TradingConfig) -> float:
    """Reward a bar over the whole market, averaged over its accounts."""
    return float(simulate(agent.policy(), market, trading).rewards.mean())


class _ToHistory(KVWriter):
    """Passes on stable-baselines3's metrics under their own names."""

    def __init__(self, on_step: OnStep) -> None:
        self._on_step = on_step

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        # Times would make two equal runs differ.
        kept = {k: float(v) for k, v in key_values.items() if not k.startswith("time/") and isinstance(v, Real)}
        self._on_step(step, kept)

    def close(self) -> None:
        """There is nothing to close."""


class _KeepBest(BaseCallback):
    """Evaluates on validation every `evaluate_every_steps` and keeps the best agent."""

    best: Agent

    def __init__(
        self,
        agent_now: Callable[[], Agent],
        validation: Market,
        trading: TradingConfig,
        config: AgentConfig,
        on_step: OnStep,
    ) -> None:
        super().__init__()
        self._agent_now, self._validation, self._trading = agent_now, validation, trading
        self._every, self._report = config.evaluate_every_steps, on_step
        self._evaluated_at = 0
        self._progress = progress_bars()
        self._task = self._progress.add_task(f"{config.kind}: steps", total=config.total_timesteps)
        self.best_reward = -np.inf

    def _on_training_start(self) -> None:
        self._progress.start()

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self._progress.update(self._task, completed=self.num_timesteps)

    def _on_rollout_start(self) -> None:
        if self.num_timesteps - self._evaluated_at >= self._every:
            self.evaluate()

    def evaluate(self) -> None:
        agent = self._agent_now()
        reward = mean_reward(agent, self._validation, self._trading)
        self._evaluated_at = self.num_timesteps
        self._report(self.num_timesteps, {"validation_reward": reward})
        if reward > self.best_reward:
            self.best_reward, self.best = reward, agent

    def _on_training_end(self) -> None:
        self._progress.stop()
