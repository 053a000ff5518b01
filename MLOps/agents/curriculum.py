"""Stages of a training with easier rules and episodes than its last (Bengio et al., 2009)."""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback

from MLOps.config.agents import AgentConfig, CurriculumStage
from MLOps.config.trading import TradingConfig
from MLOps.trading import Market
from MLOps.trading.episodes import possible_episodes
from MLOps.trading.market import CLOSE
from MLOps.trading.vector import TradingVecEnv

PLAIN = CurriculumStage(until=1.0)


class Curriculum(BaseCallback):
    """Sets rules and episodes of the environments at the start of each rollout, by the environment steps so far.

    An episode that has begun goes on to its end, by the new rules. What a stage sets is a function of the number of
    steps, so a checkpoint need not hold it; but the callback comes after the one that restores them.
    """

    def __init__(
        self, config: AgentConfig, environments: TradingVecEnv, market: Market, trading: TradingConfig
    ) -> None:
        super().__init__()
        self._config, self._environments = config, environments
        self._market, self._trading = market, trading
        self._stage = PLAIN
        # The first episodes begin before the first rollout.
        self._enter(self._stage_at(0))

    def _on_rollout_start(self) -> None:
        self._enter(self._stage_at(self.model.num_timesteps))

    def _on_step(self) -> bool:
        return True

    def _stage_at(self, steps: int) -> CurriculumStage:
        share = steps / self._config.total_timesteps
        return next((stage for stage in self._config.curriculum if share < stage.until), PLAIN)

    def _enter(self, stage: CurriculumStage) -> None:
        if stage == self._stage:
            return
        self._stage = stage
        rules = rules_in(stage, self._trading)
        self._environments.change(rules, calmest(possible_episodes(self._market, rules), self._market, stage.calmest))


def rules_in(stage: CurriculumStage, trading: TradingConfig) -> TradingConfig:
    """The rules of a stage: costs scaled, episodes of its length."""
    costs = ("fee_bps", "fee_fixed", "slippage_bps", "borrow_bps_per_year")
    return replace(
        trading,
        episode_bars=trading.episode_bars if stage.episode_bars is None else stage.episode_bars,
        **{name: getattr(trading, name) * stage.costs for name in costs},
    )


def calmest(episodes: NDArray[np.int64], market: Market, share: float) -> NDArray[np.int64]:
    """The `share` of the episodes (E, 3) with the lowest volatility, in their order; at least one.

    The volatility of an episode is the root mean square of the log returns from its first close on; for a portfolio, of
    all symbols.
    """
    squares, counts = _sums_of_squares(market)
    symbol, first, last = episodes.T
    if symbol[0] < 0:
        squares, counts, symbol = squares.sum(axis=0)[None], counts.sum(axis=0)[None], np.zeros_like(symbol)
    total = squares[symbol, last] - squares[symbol, first]
    known = np.maximum(counts[symbol, last] - counts[symbol, first], 1)
    kept = np.argsort(total / known, kind="stable")[: math.ceil(share * len(episodes))]
    return episodes[np.sort(kept)]


def _sums_of_squares(market: Market) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Cumulative sums (S, B) of squared log returns and of their number, over the bars of the market's block."""
    close = market.block.prices[..., CLOSE]
    squares = np.zeros(close.shape)
    counts = np.zeros(close.shape, np.int64)
    for symbol, own in enumerate(close):
        bars = np.flatnonzero(np.isfinite(own))[1:]
        squares[symbol, bars] = np.diff(np.log(own[np.isfinite(own)])) ** 2
        counts[symbol, bars] = 1
    return squares.cumsum(axis=1), counts.cumsum(axis=1)
