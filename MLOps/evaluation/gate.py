"""Whether a candidate may become champion: the rule of params.yaml, and every reason why not."""

from typing import Any

import numpy as np

from MLOps.config.params import GateConfig


def refusals(backtest: dict[str, Any], config: GateConfig) -> list[str]:
    """Hold a backtest's results (reports/backtest.json) against the gate.

    Returns:
        One sentence for each line of the rule that does not hold; empty when the candidate passes.
    """
    own = backtest["figures"]["agent"]
    reasons = []
    if own["total_return"] <= config.min_total_return:
        reasons.append(f"total return {own['total_return']:.2%} is not above {config.min_total_return:.2%}")
    if own["sharpe"] < config.min_sharpe:
        reasons.append(f"Sharpe ratio {own['sharpe']:.2f} is below {config.min_sharpe:.2f}")
    if own["max_drawdown"] > config.max_drawdown:
        reasons.append(f"drawdown {own['max_drawdown']:.1%} exceeds {config.max_drawdown:.1%}")
    advantage = backtest["advantage"]["buy_and_hold"]
    if config.beat_buy_and_hold and advantage["lower"] <= 0:
        reasons.append(
            f"it does not beat buy-and-hold: {advantage['mean'] * 1e4:.2f} bps a bar more, "
            f"interval {advantage['lower'] * 1e4:.2f} to {advantage['upper'] * 1e4:.2f}"
        )
    chance = float(np.quantile(backtest["random_total_returns"], config.random_quantile))
    if own["total_return"] <= chance:
        reasons.append(
            f"total return {own['total_return']:.2%} is within what random trading earns: "
            f"its {config.random_quantile:.0%} quantile is {chance:.2%}"
        )
    return reasons


def refusal_beside(backtest: dict[str, Any], champion_sharpe: float) -> list[str]:
    """The reason why the candidate does not beat the reigning champion, whose Sharpe ratio is on the same span."""
    own = backtest["figures"]["agent"]["sharpe"]
    if own > champion_sharpe:
        return []
    return [f"Sharpe ratio {own:.2f} is not above the champion's {champion_sharpe:.2f}"]
