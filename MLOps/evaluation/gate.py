"""Whether a candidate may become champion: the checks of params.yaml, and every reason why not."""

from typing import Any

import numpy as np
import pandas as pd

from MLOps.config.params import GateConfig
from MLOps.evaluation.backtest import BUY_AND_HOLD, BUY_AND_HOLD_WITH_STOPS, SAME_RETURN


def refusals(backtest: dict[str, Any], config: GateConfig) -> list[str]:
    """Hold a backtest's results (reports/backtest.json) against the gate.

    Returns:
        One sentence for each check that fails; empty when the candidate passes.
    """
    own = backtest["figures"]["agent"]
    reasons = []
    start, end = (pd.Timestamp(backtest["span"][key]) for key in ("start", "end"))
    if (end - start).days < config.min_span_days:
        reasons.append(f"the test span of {(end - start).days} days is shorter than {config.min_span_days} days")
    if own["cagr"] <= config.min_cagr:
        reasons.append(f"annual growth {own['cagr']:.2%} is not above {config.min_cagr:.2%}")
    if own["sharpe"] < config.min_sharpe:
        reasons.append(f"Sharpe ratio {own['sharpe']:.2f} is below {config.min_sharpe:.2f}")
    if own["max_drawdown"] > config.max_drawdown:
        reasons.append(f"drawdown {own['max_drawdown']:.1%} exceeds {config.max_drawdown:.1%}")
    if config.beat_buy_and_hold:
        for baseline in (BUY_AND_HOLD, BUY_AND_HOLD_WITH_STOPS):
            excess = backtest["excess"].get(baseline)
            if excess is not None and excess["lower"] <= 0:
                reasons.append(
                    f"excess return over {baseline.replace('_', '-')} is not significant: "
                    f"{excess['mean'] * 1e4:.2f} bps per bar, "
                    f"interval [{excess['lower'] * 1e4:.2f}, {excess['upper'] * 1e4:.2f}]"
                )
    chance = float(np.quantile(backtest["random_total_returns"], config.random_quantile))
    if own["total_return"] <= chance + SAME_RETURN:
        reasons.append(
            f"total return {own['total_return']:.2%} is within what the same trades earn at random times: "
            f"their {config.random_quantile:.0%} quantile is {chance:.2%}"
        )
    return reasons


def refusal_beside(backtest: dict[str, Any], champion_sharpe: float) -> list[str]:
    """The reason why the candidate does not beat the reigning champion, whose Sharpe ratio is on the same span."""
    own = backtest["figures"]["agent"]["sharpe"]
    if own > champion_sharpe:
        return []
    return [f"Sharpe ratio {own:.2f} is not above the champion's {champion_sharpe:.2f}"]
