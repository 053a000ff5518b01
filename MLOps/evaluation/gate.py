"""The promotion gate: checks of the out-of-sample evidence, each with its figure, its threshold and its reason.

To add a check, write a function of the case and its level, add it to CHECKS, and add its level to `GateConfig`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from MLOps.config.gate import GateConfig
from MLOps.evaluation.evidence import Evidence
from MLOps.evaluation.report import AGENT, BUY_AND_HOLD, BUY_AND_HOLD_WITH_STOPS, SAME_RETURN
from MLOps.statistics.overfitting import probability_of_overfitting
from MLOps.statistics.returns import annual_growth, compounded, max_drawdown, sharpe
from MLOps.statistics.sharpe_inference import LEAST_BARS, deflated_sharpe, expected_highest_sharpe, sharpe_difference
from MLOps.statistics.superior_ability import superior_ability_p_value
from MLOps.training.seeds import derive_seed

OVERFITTING_BLOCKS = 16  # of the paper; each needs BARS_PER_BLOCK bars for a Sharpe ratio
BARS_PER_BLOCK = 5


@dataclass(frozen=True)
class CheckResult:
    """The result of one check.

    Attributes:
        figure: what was measured; None where it is not defined.
        threshold: the level in params.yaml.
        reason: a sentence that says why it passed or failed.
    """

    name: str
    passed: bool
    figure: float | None
    threshold: float
    reason: str


@dataclass(frozen=True)
class Case:
    """What the gate judges.

    Attributes:
        evidence: the joined out-of-sample returns of the agent and the baselines.
        random_total_returns: (draws,) of the agent's trades at random times, compounded over the windows.
        trials: returns per bar of every candidate whose out-of-sample returns were looked at, this one included: a
            column a trial, indexed by timestamp, NaN where a trial has none.
        samples: of each bootstrap.
        seed: of the bootstraps.
    """

    evidence: Evidence
    random_total_returns: np.ndarray
    trials: pd.DataFrame
    samples: int
    seed: int

    @property
    def returns(self) -> np.ndarray:
        """Of the agent, (n,)."""
        return self.evidence.returns[AGENT]

    @property
    def equity(self) -> np.ndarray:
        return compounded(self.returns)

    def annual(self, sharpe_per_bar: float) -> float:
        return float(sharpe_per_bar * np.sqrt(self.evidence.bars_per_year))


Check = Callable[[Case, float], CheckResult | None]


def span_days(case: Case, level: float) -> CheckResult:
    first, last = (pd.Timestamp(bar) for bar in case.evidence.timestamps[[0, -1]])
    days = (last - first).days
    word = "not shorter" if days >= level else "shorter"
    reason = f"the out-of-sample evidence of {days} days is {word} than {level:g} days"
    return CheckResult("span_days", days >= level, days, level, reason)


def cagr(case: Case, level: float) -> CheckResult:
    growth = annual_growth(case.equity, case.evidence.bars_per_year)
    word = "above" if growth > level else "not above"
    return CheckResult("cagr", growth > level, growth, level, f"annual growth {growth:.2%} is {word} {level:.2%}")


def drawdown(case: Case, level: float) -> CheckResult:
    largest = max_drawdown(case.equity)
    word = "within" if largest <= level else "beyond"
    return CheckResult(
        "max_drawdown", largest <= level, largest, level, f"drawdown {largest:.1%} is {word} {level:.1%}"
    )


def deflated(case: Case, level: float) -> CheckResult:
    sharpes = trial_sharpes(case.trials)
    own = sharpe(case.returns, 1)
    figure = deflated_sharpe(case.returns, sharpes) if own else 0.0
    expected = highest_sharpe_without_skill(case)
    passed = figure >= level
    reason = (
        f"the Sharpe ratio {case.annual(own):.2f} exceeds {expected:.2f}, expected of the best of {len(sharpes)} "
        f"{'trial' if len(sharpes) == 1 else 'trials'} without skill, with probability {figure:.3f}, "
        f"{'at least' if passed else 'below'} {level:g}"
    )
    return CheckResult("deflated_sharpe", passed, figure, level, reason)


def above_buy_and_hold(case: Case, level: float) -> CheckResult:
    """Above buy-and-hold's Sharpe ratio, and above that of buy-and-hold with the agent's stops where there are any."""
    name = "sharpe_above_buy_and_hold"
    results = [
        _sharpe_above(name, case, case.returns, case.evidence.returns[baseline], baseline.replace("_", "-"), level)
        for baseline in (BUY_AND_HOLD, BUY_AND_HOLD_WITH_STOPS)
        if baseline in case.evidence.returns
    ]
    return next((result for result in results if not result.passed), results[0])


def random_timing(case: Case, level: float) -> CheckResult:
    own = float(case.equity[-1]) - 1
    share = float((case.random_total_returns < own - SAME_RETURN).mean())
    word = "at least" if share >= level else "below"
    reason = (
        f"the total return {own:.2%} is above that of {share:.1%} of {len(case.random_total_returns)} draws of the "
        f"same trades at random times, {word} {level:.1%}"
    )
    return CheckResult("random_timing", share >= level, share, level, reason)


def overfitting(case: Case, level: float) -> CheckResult | None:
    """Not made with one trial, or with too few bars that all trials share."""
    common = case.trials.dropna()
    if common.shape[1] < 2 or len(common) < OVERFITTING_BLOCKS * BARS_PER_BLOCK:
        return None
    figure = probability_of_overfitting(common.to_numpy(), OVERFITTING_BLOCKS)
    word = "not above" if figure <= level else "above"
    reason = (
        f"the best of {common.shape[1]} trials in one half of the bars is below the median in the other with "
        f"probability {figure:.2f}, {word} {level:g}"
    )
    return CheckResult("overfitting", figure <= level, figure, level, reason)


def superior_ability(case: Case, level: float) -> CheckResult | None:
    """Not made if the trials and buy-and-hold share too few bars."""
    evidence = case.evidence
    benchmark = pd.Series(evidence.returns[BUY_AND_HOLD], pd.DatetimeIndex(evidence.timestamps))
    common = case.trials.join(benchmark.rename("benchmark"), how="inner").dropna()
    if len(common) < OVERFITTING_BLOCKS * BARS_PER_BLOCK:
        return None
    trials = common.drop(columns="benchmark").to_numpy()
    seed = derive_seed(case.seed, "superior ability")
    figure = superior_ability_p_value(common["benchmark"].to_numpy(), trials, case.samples, seed)
    word = "not above" if figure <= level else "above"
    reason = f"that no trial earns more than buy-and-hold has the p-value {figure:.3f}, {word} {level:g}"
    return CheckResult("superior_ability", figure <= level, figure, level, reason)


# By the name of the level in `GateConfig`.
CHECKS: dict[str, Check] = {
    "span_days": span_days,
    "cagr": cagr,
    "max_drawdown": drawdown,
    "deflated_sharpe": deflated,
    "sharpe_above_buy_and_hold": above_buy_and_hold,
    "random_timing": random_timing,
    "overfitting": overfitting,
    "superior_ability": superior_ability,
}


def judge(case: Case, config: GateConfig) -> list[CheckResult]:
    """The result of every check that has a level and can be made."""
    levels = {name: getattr(config, name) for name in CHECKS}
    made = [CHECKS[name](case, level) for name, level in levels.items() if level is not None]
    return [result for result in made if result is not None]


def judge_beside(case: Case, champion: pd.Series, level: float, margin: float | None) -> CheckResult:
    """Whether the agent beats the champion on the bars that both traded.

    Args:
        champion: its returns per bar, by timestamp, over bars on which it was neither trained nor chosen.
        level, margin: `GateConfig.champion` and `GateConfig.champion_margin`.
    """
    own = pd.Series(case.returns, pd.DatetimeIndex(case.evidence.timestamps))
    both = pd.concat([own, champion], axis=1, join="inner")
    ours, theirs = both.to_numpy().T
    result = _sharpe_above("champion", case, ours, theirs, "the champion", level)
    if margin is None or result.passed or max_drawdown(compounded(ours)) >= max_drawdown(compounded(theirs)):
        return result
    return _sharpe_above("champion", case, ours, theirs, "the champion", level, margin)


def trial_sharpes(trials: pd.DataFrame) -> np.ndarray:
    """(trials,): the Sharpe ratio per bar of each."""
    return np.array([sharpe(own.dropna().to_numpy(), 1) for _, own in trials.items()])


def highest_sharpe_without_skill(case: Case) -> float:
    """The highest annual Sharpe ratio expected of as many trials without skill, whose ratios differ as these do."""
    sharpes = trial_sharpes(case.trials)
    spread = float(np.std(sharpes, ddof=1)) if len(sharpes) > 1 else 0.0
    return case.annual(expected_highest_sharpe(spread, len(sharpes)))


def _sharpe_above(
    name: str, case: Case, ours: np.ndarray, theirs: np.ndarray, other: str, level: float, margin: float = 0.0
) -> CheckResult:
    """Whether the one-sided interval of the difference of the Sharpe ratios lies above -margin, annualised."""
    threshold = 0.0 - margin  # no negative zero
    if len(ours) < LEAST_BARS:
        reason = (
            f"the Sharpe ratio cannot be compared with that of {other}: {len(ours)} common bars, {LEAST_BARS} needed"
        )
        return CheckResult(name, False, None, threshold, reason)
    # The lower bound of a two-sided interval with this confidence is that of a one-sided one with `level`.
    difference = sharpe_difference(ours, theirs, 2 * level - 1, case.samples, derive_seed(case.seed, name, other))
    value, lower = case.annual(difference.value), case.annual(difference.lower)
    passed = lower > threshold
    reason = (
        f"the Sharpe ratio less that of {other} is {value:.2f}, with a lower bound of {lower:.2f} at confidence "
        f"{level:g}, {'above' if passed else 'not above'} {threshold:g}"
    )
    return CheckResult(name, passed, lower, threshold, reason)
