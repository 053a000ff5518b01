"""Small trainings of every algorithm under the rules of every scheme."""

from functools import cache
from typing import Any

import numpy as np

from MLOps.agents.observations import MarketView
from MLOps.config.agents import (
    A2CConfig,
    ActionNoise,
    AgentConfig,
    CrossQConfig,
    DDPGConfig,
    DQNConfig,
    MaskablePPOConfig,
    ObserveConfig,
    PPOConfig,
    QRDQNConfig,
    RainbowConfig,
    RecurrentPPOConfig,
    SACConfig,
    TD3Config,
    TQCConfig,
    TRPOConfig,
)
from MLOps.config.trading import TradingConfig
from MLOps.features.scaler import Scaler
from MLOps.trading import Market
from tests.evaluation.price_markets import market_of, random_walk

SHARED: dict[str, Any] = {
    "observe": ObserveConfig(features=("column_0", "column_1")),
    "environments": 4,
    "total_timesteps": 1024,
    "learning_rate": 0.003,
    "gamma": 0.95,
    "net_arch": (16, 8),
    "evaluate_every_steps": 256,
}
ON_POLICY: dict[str, Any] = {**SHARED, "n_steps": 32}
PPO: dict[str, Any] = {**ON_POLICY, "batch_size": 64, "n_epochs": 2}
OFF_POLICY: dict[str, Any] = {**SHARED, "buffer_size": 2000, "learning_starts": 64, "batch_size": 32, "train_freq": 4}
Q_LEARNING: dict[str, Any] = {**OFF_POLICY, "target_update_interval": 128, "exploration_fraction": 0.5}
CONFIGS: dict[str, AgentConfig] = {
    "ppo": PPOConfig(kind="ppo", **PPO),
    "maskable_ppo": MaskablePPOConfig(kind="maskable_ppo", **PPO),
    "recurrent_ppo": RecurrentPPOConfig(kind="recurrent_ppo", lstm_hidden_size=8, **PPO),
    "a2c": A2CConfig(kind="a2c", **ON_POLICY),
    "trpo": TRPOConfig(kind="trpo", batch_size=64, **ON_POLICY),
    "dqn": DQNConfig(kind="dqn", **Q_LEARNING),
    "qr_dqn": QRDQNConfig(kind="qr_dqn", n_quantiles=5, **Q_LEARNING),
    "ddpg": DDPGConfig(kind="ddpg", action_noise=ActionNoise(), **OFF_POLICY),
    "td3": TD3Config(kind="td3", action_noise=ActionNoise(kind="ornstein_uhlenbeck"), **OFF_POLICY),
    "sac": SACConfig(kind="sac", gradient_steps=3, **OFF_POLICY),
    "tqc": TQCConfig(kind="tqc", gradient_steps=3, n_quantiles=5, **OFF_POLICY),
    "rainbow": RainbowConfig(kind="rainbow", **(Q_LEARNING | {"n_steps": 3})),
    "crossq": CrossQConfig(kind="crossq", renorm_warmup_steps=10, **OFF_POLICY),
}
EPISODES: dict[str, Any] = {"episode_bars": 50}
RULES: dict[str, TradingConfig] = {
    "targets": TradingConfig(targets=(-1.0, -0.5, 0.0, 0.5, 1.0), allow_short=True, **EPISODES),
    "discrete": TradingConfig(scheme="discrete", allow_short=True, **EPISODES),
    "weights": TradingConfig(scheme="weights", allow_short=True, **EPISODES),
    "portfolio": TradingConfig(scheme="weights", account="portfolio", allow_short=True, **EPISODES),
    "shares": TradingConfig(scheme="shares", account="portfolio", **EPISODES),
}
TRADING = RULES["targets"]
# Every algorithm with all rules in which it can act.
CASES = [(kind, rules) for kind in CONFIGS for rules in RULES if RULES[rules].scheme in CONFIGS[kind].schemes]
VIEW = MarketView(
    SHARED["observe"].features, (), Scaler(np.zeros(2, np.float32), np.zeros(2, np.float32), np.ones(2, np.float32))
)


@cache
def market(seed: int = 0) -> Market:
    """Random walks beside the next return, blurred, and noise."""
    closes = random_walk(seed, symbols=2, bars=300)
    ahead = np.diff(np.log(closes), axis=1, append=np.nan) / 0.01
    noise = np.random.default_rng([seed, 1]).standard_normal((2, *closes.shape))
    return market_of(closes, observed=np.stack([np.nan_to_num(ahead) + noise[0], noise[1]], axis=2))


def suited(kind: str) -> str:
    """The first rules in which an algorithm can act."""
    return next(rules for own, rules in CASES if own == kind)
