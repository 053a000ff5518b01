"""Training an agent with stable-baselines3 on the compiled environments."""

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger
from stable_baselines3.common.vec_env import VecEnv
from torch import nn
from tqdm import tqdm

from MLOps.agents.network import PolicyNetwork
from MLOps.agents.observations import MarketView
from MLOps.agents.policy import Agent
from MLOps.config.params import PPOConfig
from MLOps.config.trading import TradingConfig
from MLOps.trading import Market, observation_columns, simulate
from MLOps.trading.vector import TradingVecEnv

OnStep = Callable[[int, Mapping[str, float]], None]


def train(
    config: PPOConfig,
    view: MarketView,
    market: Market,
    validation: Market,
    trading: TradingConfig,
    seed: int,
    on_step: OnStep,
) -> tuple[Agent, float]:
    """Train on `market`; keep the weights that earn the most reward on `validation`.

    Args:
        on_step: called with the environment steps so far and the metrics of a rollout or an evaluation.

    Returns:
        The agent, and its mean reward a bar on validation.
    """
    environments: VecEnv = TradingVecEnv(market, trading, config.environments, seed)
    algorithm = PPO(
        "MlpPolicy",
        environments,
        learning_rate=config.learning_rate,
        n_steps=config.n_steps,
        batch_size=config.batch_size,
        n_epochs=config.n_epochs,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        clip_range=config.clip_range,
        ent_coef=config.ent_coef,
        vf_coef=config.vf_coef,
        max_grad_norm=config.max_grad_norm,
        policy_kwargs={"net_arch": list(config.net_arch)},
        seed=seed,
        device="cpu",
    )
    algorithm.set_logger(Logger(folder=None, output_formats=[_ToHistory(on_step)]))
    columns = tuple(observation_columns(market, trading))

    def agent_now() -> Agent:
        return Agent(config, view, columns, policy_network(algorithm))

    keeper = _KeepBest(agent_now, validation, trading, config, on_step)
    algorithm.learn(config.total_timesteps, callback=keeper)
    keeper.evaluate()
    return keeper.best, keeper.best_reward


def policy_network(algorithm: PPO) -> PolicyNetwork:
    """A copy of the layers between observation and action logits."""
    policy: Any = algorithm.policy
    layers = [module for module in policy.mlp_extractor.policy_net if isinstance(module, nn.Linear)]
    return PolicyNetwork.from_layers(
        [(layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in [*layers, policy.action_net]]
    )


def mean_reward(agent: Agent, market: Market, trading: TradingConfig) -> float:
    """Reward a bar over the whole market, averaged over its accounts."""
    return float(simulate(agent.policy, market, trading).rewards.mean())


class _ToHistory(KVWriter):
    """stable-baselines3's own metrics, under its own names."""

    def __init__(self, on_step: OnStep) -> None:
        self._on_step = on_step

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        # Its clock would make two equal runs differ.
        kept = {k: float(v) for k, v in key_values.items() if not k.startswith("time/") and isinstance(v, Real)}
        self._on_step(step, kept)

    def close(self) -> None:
        """Nothing is held open."""


class _KeepBest(BaseCallback):
    """Every `evaluate_every_steps`: the reward on validation, and the agent if it is the best so far."""

    best: Agent

    def __init__(
        self,
        agent_now: Callable[[], Agent],
        validation: Market,
        trading: TradingConfig,
        config: PPOConfig,
        on_step: OnStep,
    ) -> None:
        super().__init__()
        self._agent_now, self._validation, self._trading = agent_now, validation, trading
        self._every, self._report = config.evaluate_every_steps, on_step
        self._evaluated_at = 0
        self._bar = tqdm(total=config.total_timesteps, desc=f"{config.kind} steps", leave=False)
        self.best_reward = -np.inf

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self._bar.update(self.num_timesteps - self._bar.n)

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
        self._bar.close()
