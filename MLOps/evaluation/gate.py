"""The promotion gate: a list of checks, each of which passes or gives its reason.

To add a check, write a function of the report and the configuration, and add it to CHECKS.
"""

from collections.abc import Callable

import numpy as np

from MLOps.config.gate import GateConfig
from MLOps.evaluation.report import AGENT, BUY_AND_HOLD, BUY_AND_HOLD_WITH_STOPS, SAME_RETURN, BacktestReport

Check = Callable[[BacktestReport, GateConfig], str | None]


def long_enough_span(report: BacktestReport, config: GateConfig) -> str | None:
    days = (report.span.end - report.span.start).days
    if days >= config.min_span_days:
        return None
    return f"the test span of {days} days is shorter than {config.min_span_days} days"


def annual_growth(report: BacktestReport, config: GateConfig) -> str | None:
    cagr = report.metrics[AGENT]["cagr"]
    return None if cagr > config.min_cagr else f"annual growth {cagr:.2%} is not above {config.min_cagr:.2%}"


def sharpe_ratio(report: BacktestReport, config: GateConfig) -> str | None:
    sharpe = report.metrics[AGENT]["sharpe"]
    return None if sharpe >= config.min_sharpe else f"Sharpe ratio {sharpe:.2f} is below {config.min_sharpe:.2f}"


def drawdown(report: BacktestReport, config: GateConfig) -> str | None:
    drawdown = report.metrics[AGENT]["max_drawdown"]
    return None if drawdown <= config.max_drawdown else f"drawdown {drawdown:.1%} exceeds {config.max_drawdown:.1%}"


def excess_over_buy_and_hold(report: BacktestReport, config: GateConfig) -> str | None:
    return _excess_over(BUY_AND_HOLD, report, config)


def excess_over_buy_and_hold_with_stops(report: BacktestReport, config: GateConfig) -> str | None:
    """Without stops there is no such baseline, and the check passes."""
    return _excess_over(BUY_AND_HOLD_WITH_STOPS, report, config)


def random_timing(report: BacktestReport, config: GateConfig) -> str | None:
    total_return = report.metrics[AGENT]["total_return"]
    quantile = float(np.quantile(report.random_total_returns, config.random_quantile))
    if total_return > quantile + SAME_RETURN:
        return None
    return (
        f"total return {total_return:.2%} is not above the {config.random_quantile:.0%} quantile of the same trades at "
        f"random times, {quantile:.2%}"
    )


CHECKS: tuple[Check, ...] = (
    long_enough_span,
    annual_growth,
    sharpe_ratio,
    drawdown,
    excess_over_buy_and_hold,
    excess_over_buy_and_hold_with_stops,
    random_timing,
)


def refusals(report: BacktestReport, config: GateConfig) -> list[str]:
    """The reasons of the checks that fail, one sentence each; empty when the candidate passes."""
    return [reason for check in CHECKS if (reason := check(report, config)) is not None]


def refusal_beside(report: BacktestReport, champion_sharpe: float) -> list[str]:
    """Why the candidate does not beat the champion, whose Sharpe ratio is of the same span; empty when it does."""
    sharpe = report.metrics[AGENT]["sharpe"]
    if sharpe > champion_sharpe:
        return []
    return [f"Sharpe ratio {sharpe:.2f} is not above the champion's {champion_sharpe:.2f}"]


def _excess_over(baseline: str, report: BacktestReport, config: GateConfig) -> str | None:
    excess = report.excess.get(baseline)
    if excess is None or excess.lower > 0 or not config.beat_buy_and_hold:
        return None
    return (
        f"excess return over {baseline.replace('_', '-')} is not significant: {excess.mean * 1e4:.2f} bps per bar, "
        f"interval [{excess.lower * 1e4:.2f}, {excess.upper * 1e4:.2f}]"
    )
