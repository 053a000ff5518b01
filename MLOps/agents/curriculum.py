"""Stages of a training with other rules and episodes than its last (Bengio et al., 2009, "Curriculum learning")."""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from stable_baselines3.common.callbacks import BaseCallback

from MLOps.agents.observations import UNCERTAINTY
from MLOps.config.agents import AgentConfig, CurriculumStage
from MLOps.config.trading import TradingConfig
from MLOps.errors import UserError
from MLOps.trading import Market
from MLOps.trading.episodes import possible_episodes
from MLOps.trading.market import CLOSE
from MLOps.trading.vector import TradingVecEnv

PLAIN = CurriculumStage(until=1.0)
# Least length of a table of weighted episodes: the share of an episode is a multiple of 1 / length.
TABLE_ROWS = 2**16
# To which mean uncertainties are compared; uncertainties are float32, and sums round.
DECIMALS = 9


class Curriculum(BaseCallback):
    """Sets rules and episodes of the environments at the start of each rollout, by the environment steps so far.

    An episode that has begun goes on to its end, by the new rules. What a stage sets is a function of the number of
    steps, so a checkpoint need not hold it; but the callback comes after the one that restores them.
    """

    def __init__(
        self, config: AgentConfig, environments: TradingVecEnv, market: Market, trading: TradingConfig
    ) -> None:
        """Raises: UserError: a stage weights episodes by uncertainty, and the market observes no forecaster's."""
        super().__init__()
        if any(stage.uncertainty_odds != 1 for stage in config.curriculum):
            _check_uncertainty(market)
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
        episodes = calmest(possible_episodes(self._market, rules), self._market, stage.calmest)
        if stage.uncertainty_odds != 1:
            episodes = weighted_by_uncertainty(episodes, self._market, stage.uncertainty_odds)
        self._environments.change(rules, episodes)


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
    symbol, first, last = episodes.T
    means = _means(_squared_returns(market), symbol, first + 1, last + 1)
    kept = np.argsort(means, kind="stable")[: math.ceil(share * len(episodes))]
    return episodes[np.sort(kept)]


def weighted_by_uncertainty(episodes: NDArray[np.int64], market: Market, odds: float) -> NDArray[np.int64]:
    """A table (R, 3) in which episodes (E, 3) are repeated in proportion to their weight.

    The weight of an episode is odds^q, where q in [0, 1] is the rank of its uncertainty, from the lowest to the
    highest; ranks, since predictors' uncertainties differ in scale. Equal ones share their mean rank. The uncertainty
    is the mean over the bars at which the agent decides and over forecasters; for a portfolio, over all symbols too.

    A uniform draw from the table follows the weights to within 1/R (systematic resampling; Kitagawa, 1996, "Monte Carlo
    filter and smoother for non-Gaussian nonlinear state space models").
    """
    symbol, first, last = episodes.T
    ranks = rankdata(_means(_uncertainty(market), symbol, first, last).round(DECIMALS)) - 1
    ends = np.cumsum(odds ** (ranks / max(len(episodes) - 1, 1)))
    rows = max(TABLE_ROWS, len(episodes))
    return episodes[np.searchsorted(ends, (np.arange(rows) + 0.5) * (ends[-1] / rows), side="right")]


def _means(
    values: NDArray[np.float64], symbol: NDArray[np.int64], begin: NDArray[np.int64], end: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Means of `values` (S, B), NaN where there is none, over begin <= bar < end of each episode; 0 without a value.

    Args:
        symbol: (E,), or -1 for the mean over all symbols.
        begin, end: (E,) bars of the market's block.
    """
    known = np.isfinite(values)
    before = ((0, 0), (1, 0))
    sums = np.pad(np.where(known, values, 0.0).cumsum(axis=1), before)
    counts = np.pad(known.cumsum(axis=1), before)
    if symbol[0] < 0:
        sums, counts, symbol = sums.sum(axis=0)[None], counts.sum(axis=0)[None], np.zeros_like(symbol)
    count = counts[symbol, end] - counts[symbol, begin]
    return (sums[symbol, end] - sums[symbol, begin]) / np.maximum(count, 1)


def _squared_returns(market: Market) -> NDArray[np.float64]:
    """(S, B) squared log returns over the bars of the market's block, each from the symbol's previous bar."""
    close = market.block.prices[..., CLOSE]
    squares = np.full(close.shape, np.nan)
    for symbol, own in enumerate(close):
        bars = np.flatnonzero(np.isfinite(own))
        squares[symbol, bars[1:]] = np.diff(np.log(own[bars])) ** 2
    return squares


def _uncertainty(market: Market) -> NDArray[np.float64]:
    """(S, B) mean over forecasters of their uncertainty, over the bars of the market's block."""
    return market.block.observations[..., _uncertainty_columns(market)].mean(axis=2, dtype=np.float64)


def _uncertainty_columns(market: Market) -> list[int]:
    return [place for place, name in enumerate(market.observation_names) if name.endswith(f"_{UNCERTAINTY}")]


def _check_uncertainty(market: Market) -> None:
    """Say so where all forecasts are equally uncertain, as those of an ensemble without members are.

    Raises:
        UserError: no forecaster's uncertainty is observed.
    """
    columns = _uncertainty_columns(market)
    if not columns:
        raise UserError(
            "agents: curriculum: uncertainty_odds: expected a forecaster's uncertainty among the observations, found "
            f"{', '.join(market.observation_names)}; observe a predictor, or remove uncertainty_odds"
        )
    known = market.observations[market.observable][:, columns]
    if (known == known[:1]).all():
        print("agents: curriculum: uncertainty_odds has no effect: all observed forecasts are equally uncertain")
