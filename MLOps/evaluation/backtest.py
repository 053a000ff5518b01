"""Backtest of one agent and of the baselines over the same market."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

from MLOps.config.backtest import BacktestConfig
from MLOps.config.trading import TradingConfig
from MLOps.data.splits import Span
from MLOps.evaluation import baselines
from MLOps.evaluation.performance import Portfolio, performance
from MLOps.evaluation.report import (
    AGENT,
    BUY_AND_HOLD,
    BUY_AND_HOLD_WITH_STOPS,
    SAME_RETURN,
    BacktestReport,
    Interval,
)
from MLOps.progress import progress_bars
from MLOps.statistics.bootstrap import mean_interval
from MLOps.trading import Ledger, Market, simulate
from MLOps.trading.simulation import Policy
from MLOps.training.seeds import derive_seed


@dataclass(frozen=True)
class Backtest:
    """Ledgers by policy, total returns of the random-timing draws (draws,), and excess returns per bar by baseline."""

    ledgers: dict[str, Ledger]
    random_total_returns: np.ndarray
    excess: dict[str, Interval]

    def returns(self) -> pd.DataFrame:
        """The return of each policy's portfolio over the bar that ends at `timestamp` (UTC), a column a policy."""
        portfolios = {name: Portfolio.of(ledger) for name, ledger in self.ledgers.items()}
        timestamps = pd.DatetimeIndex(portfolios[AGENT].timestamps[1:]).tz_localize("UTC")
        return pd.DataFrame(
            {"timestamp": timestamps, **{name: portfolio.returns for name, portfolio in portfolios.items()}}
        )

    def report(
        self, agent: str, validation_rewards: Mapping[str, float], span: Span, bars_per_year: int
    ) -> BacktestReport:
        """The results as data; `agent` was chosen among `validation_rewards`."""
        own = Portfolio.of(self.ledgers[AGENT]).total_return
        return BacktestReport(
            agent=agent,
            validation_rewards=dict(validation_rewards),
            span=span,
            metrics={name: performance(ledger, bars_per_year) for name, ledger in self.ledgers.items()},
            excess=self.excess,
            random_total_returns=tuple(np.sort(self.random_total_returns).tolist()),
            random_rank=float((self.random_total_returns < own - SAME_RETURN).mean()),
        )


def backtest(
    agent: Policy,
    market: Market,
    bars: pd.DataFrame,
    signals: pd.DataFrame,
    trading: TradingConfig,
    config: BacktestConfig,
    seed: int,
    others: Mapping[str, Policy] = MappingProxyType({}),
) -> Backtest:
    """Run the agent and the baselines over `market`.

    Args:
        market: the span to trade.
        bars: the whole history, for the moving averages.
        signals: the ensemble's, for the baseline that follows the predictors' sign.
        others: further policies by name, which trade by the agent's rules.
    """
    own_rules = baselines.in_weights(baselines.without_stops(trading))
    policies = {
        "flat": baselines.flat(market, own_rules),
        BUY_AND_HOLD: baselines.buy_and_hold(market, own_rules),
        "moving_average_cross": baselines.moving_average_cross(bars, market, own_rules, config),
        "predictor_sign": baselines.predictor_sign(signals, market, own_rules),
    }
    if trading.account == "portfolio":  # between accounts of one symbol each no capital moves
        policies |= {
            "rebalanced_equal_weight": baselines.rebalanced_equal_weight(market, own_rules, config),
            "inverse_volatility": baselines.inverse_volatility(bars, market, own_rules, config),
        }
    ledgers = {name: simulate(policy, market, trading) for name, policy in {AGENT: agent, **others}.items()}
    ledgers |= {name: simulate(policy, market, own_rules) for name, policy in policies.items()}
    if baselines.has_stops(trading):
        stopped = baselines.in_weights(trading)
        ledgers[BUY_AND_HOLD_WITH_STOPS] = simulate(baselines.buy_and_hold(market, stopped), market, stopped)
    draws = baselines.random_timing(
        ledgers[AGENT], market, trading, config.random_draws, derive_seed(seed, "random timing")
    )
    with progress_bars() as progress:
        tracked = progress.track(draws, config.random_draws, description="random timing")
        random_returns = [Portfolio.of(ledger).total_return for ledger in tracked]
    returns = {name: Portfolio.of(ledger).returns for name, ledger in ledgers.items()}
    own = returns.pop(AGENT)
    return Backtest(
        ledgers=ledgers,
        random_total_returns=np.array(random_returns),
        excess={
            name: Interval(
                *mean_interval(
                    own - theirs,
                    config.confidence,
                    config.bootstrap_samples,
                    config.block_bars,
                    derive_seed(seed, "excess", name),
                )
            )
            for name, theirs in returns.items()
        },
    )
