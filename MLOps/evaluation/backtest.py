"""One agent and the baselines over the same market, and what the comparison says."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm import tqdm

from MLOps.config.params import BacktestConfig
from MLOps.config.trading import TradingConfig
from MLOps.evaluation import baselines
from MLOps.evaluation.bootstrap import mean_interval
from MLOps.evaluation.performance import Portfolio, performance
from MLOps.trading import Ledger, Market, simulate
from MLOps.trading.simulation import Policy

# Total returns closer than this are the same: rounding must not decide a rank.
SAME_RETURN = 1e-6
# Baselines that an agent must beat which claims more than a long position: each with the stops that it follows.
BUY_AND_HOLD = "buy_and_hold"
BUY_AND_HOLD_WITH_STOPS = "buy_and_hold_with_stops"


@dataclass(frozen=True)
class Backtest:
    """`ledgers` of the agent and the baselines; of the draws with random timing only the total returns are kept.

    `excess` is, by baseline, the agent's mean bar return over the baseline's, with its bootstrap interval.
    """

    ledgers: dict[str, Ledger]
    random_total_returns: np.ndarray
    excess: dict[str, tuple[float, float, float]]

    def figures(self, bars_per_year: int) -> dict[str, dict[str, float]]:
        """Performance by policy."""
        return {name: performance(ledger, bars_per_year) for name, ledger in self.ledgers.items()}

    @property
    def random_rank(self) -> float:
        """The share of draws with random timing whose total return lies below the agent's."""
        own = Portfolio.of(self.ledgers["agent"]).total_return
        return float((self.random_total_returns < own - SAME_RETURN).mean())


def backtest(
    agent: Policy,
    market: Market,
    bars: pd.DataFrame,
    signals: pd.DataFrame,
    trading: TradingConfig,
    config: BacktestConfig,
    seed: int,
) -> Backtest:
    """Run the agent and the baselines over `market`.

    Args:
        market: the span to trade.
        bars: the whole history, for the moving averages.
        signals: the ensemble's, for the predictor's own sign.
    """
    own_rules = baselines.without_stops(trading)
    policies = {
        "flat": baselines.flat(),
        BUY_AND_HOLD: baselines.buy_and_hold(market, own_rules),
        "moving_average_cross": baselines.moving_average_cross(bars, market, own_rules, config),
        "predictor_sign": baselines.predictor_sign(signals, market, own_rules),
    }
    ledgers = {"agent": simulate(agent, market, trading)}
    ledgers |= {name: simulate(policy, market, own_rules) for name, policy in policies.items()}
    if baselines.has_stops(trading):
        ledgers[BUY_AND_HOLD_WITH_STOPS] = simulate(baselines.always_buy(), market, trading)
    draws = baselines.random_timing(ledgers["agent"], market, trading, config.random_draws, seed)
    random_returns = [
        Portfolio.of(ledger).total_return
        for ledger in tqdm(draws, "random timing", total=config.random_draws, leave=False, disable=None)
    ]
    returns = {name: Portfolio.of(ledger).returns for name, ledger in ledgers.items()}
    return Backtest(
        ledgers=ledgers,
        random_total_returns=np.array(random_returns),
        excess={
            name: mean_interval(
                returns["agent"] - returns[name], config.confidence, config.bootstrap_samples, config.block_bars, seed
            )
            for name in returns
            if name != "agent"
        },
    )
