"""The decision on a version: `candidate` always, `champion` if the gate passes; tags say why."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from MLOps.config.gate import GateConfig
from MLOps.errors import UserError
from MLOps.evaluation.gate import Case, CheckResult, judge, judge_beside
from MLOps.model_registry.versions import CHAMPION, Registry
from MLOps.operations.champions import GATE, set_champion, withdrawn

CHECK_TAG = "check_"  # prefix of the tag of a check's result


@dataclass(frozen=True)
class Decision:
    """The results of the gate's checks, and whether the registry changed."""

    results: tuple[CheckResult, ...]
    changed: bool

    @property
    def promoted(self) -> bool:
        return all(result.passed for result in self.results)

    @property
    def words(self) -> str:
        """The decision in one line."""
        reasons = "; ".join(result.reason for result in self.results if not result.passed)
        return f"{CHAMPION} refused: {reasons}" if reasons else f"{CHAMPION}: every check passed"


def promote(
    registry: Registry,
    version: str,
    agent: str,
    case: Case,
    config: GateConfig,
    champion_returns: Callable[[str], pd.Series],
) -> Decision:
    """Point `candidate` at a version, and `champion` if the gate passes.

    Args:
        agent: the chosen agent's name.
        champion_returns: a version's returns per bar over the test span; a UserError where it has none.
    """
    changed = registry.put_forward(version)
    champion = registry.version_at(CHAMPION)
    results = judge(case, config)
    if config.champion is not None and champion is not None and champion != version:
        results.append(_beside(champion, case, config, champion_returns))
    if champion != version and (words := withdrawn(registry, version)):
        again = f"`python -m MLOps promote {version}` makes it {CHAMPION} again"
        results.append(CheckResult("withdrawn", False, None, 0.0, f"it was withdrawn {words}; {again}"))
    decision = Decision(tuple(results), changed)
    tags = {
        "agent": agent,
        "gate": "passed" if decision.promoted else "refused",
        "gate_reasons": "; ".join(result.reason for result in results if not result.passed) or "every check passed",
        "trials": str(case.trials.shape[1]),
        **{f"{CHECK_TAG}{result.name}": _in_words(result) for result in results},
    }
    changed |= registry.tag(version, tags)
    if decision.promoted and champion != version:
        changed |= set_champion(registry, version, GATE, "every check passed") is not None
    return Decision(decision.results, changed)


def _in_words(result: CheckResult) -> str:
    return f"{'passed' if result.passed else 'failed'}: {result.reason}"


def _beside(champion: str, case: Case, config: GateConfig, champion_returns: Callable[[str], pd.Series]) -> CheckResult:
    assert config.champion is not None
    try:
        returns = champion_returns(champion)
    except UserError as error:
        reason = (
            f"the champion, version {champion}, cannot be traded over today's test span: {error}; "
            f"take the alias {CHAMPION} off it to let another follow"
        )
        return CheckResult("champion", False, None, 0.0, reason)
    return judge_beside(case, returns, config.champion, config.champion_margin)
