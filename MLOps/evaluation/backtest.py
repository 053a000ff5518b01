"""One agent and the baselines over the same market, and what the comparison says."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm import trange

from MLOps.config.params import BacktestConfig
from MLOps.config.trading import TradingConfig
from MLOps.evaluation import baselines
from MLOps.evaluation.bootstrap import mean_interval
from MLOps.evaluation.performance import bar_returns, performance, portfolio_equity
from MLOps.trading import Ledger, Market, simulate
from MLOps.trading.simulation import Policy


@dataclass(frozen=True)
class Backtest:
    """`ledgers` of the agent and of every baseline but the random draws, of which only the total returns are kept."""

    ledgers: dict[str, Ledger]
    random_total_returns: np.ndarray
    advantage: dict[str, tuple[float, float, float]]

    def figures(self, bars_per_year: int) -> dict[str, dict[str, float]]:
        """Performance by policy."""
        return {name: performance(ledger, bars_per_year) for name, ledger in self.ledgers.items()}

    def curves(self) -> dict[str, np.ndarray]:
        return {name: portfolio_equity(ledger) for name, ledger in self.ledgers.items()}

    @property
    def random_rank(self) -> float:
        """The share of random draws whose total return lies below the agent's."""
        equity = portfolio_equity(self.ledgers["agent"])
        return float((self.random_total_returns < equity[-1] / equity[0] - 1).mean())


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

    Returns:
        The ledgers; and, as `advantage`, by baseline the mean difference of the bar returns (agent minus baseline)
        with its bootstrap interval.
    """
    policies = {
        "agent": agent,
        "flat": baselines.flat(),
        "buy_and_hold": baselines.buy_and_hold(),
        "moving_average_cross": baselines.moving_average_cross(bars, market, config),
        "predictor_sign": baselines.predictor_sign(signals, market),
    }
    ledgers = {name: simulate(policy, market, trading) for name, policy in policies.items()}
    returns = {name: bar_returns(portfolio_equity(ledger)) for name, ledger in ledgers.items()}
    draws = []
    for draw in trange(config.random_draws, desc="random draws", leave=False):
        equity = portfolio_equity(simulate(baselines.random(seed + draw), market, trading))
        draws.append(equity[-1] / equity[0] - 1)
    return Backtest(
        ledgers=ledgers,
        random_total_returns=np.array(draws),
        advantage={
            name: mean_interval(
                returns["agent"] - returns[name], config.confidence, config.bootstrap_samples, config.block_bars, seed
            )
            for name in returns
            if name != "agent"
        },
    )
