"""The decision on a version: `candidate` always, `champion` if the gate passes; tags say why."""

from collections.abc import Callable
from dataclasses import dataclass

from MLOps.config.gate import GateConfig
from MLOps.errors import UserError
from MLOps.evaluation.gate import refusal_beside, refusals
from MLOps.evaluation.report import BacktestReport
from MLOps.model_registry.versions import BUNDLE_TAG, CANDIDATE, CHAMPION, Registry


@dataclass(frozen=True)
class Decision:
    """Why the candidate was refused, empty when it was promoted; and whether the registry changed."""

    reasons: tuple[str, ...]
    changed: bool

    @property
    def words(self) -> str:
        """The decision in one line."""
        return f"{CHAMPION} refused: {'; '.join(self.reasons)}" if self.reasons else f"{CHAMPION}: every check passed"


def promote(
    registry: Registry,
    version: str,
    identity: str,
    report: BacktestReport,
    config: GateConfig,
    sharpe_of: Callable[[str], float],
) -> Decision:
    """Point `candidate` at a version, and `champion` if the gate passes.

    Args:
        identity: of the version's bundle.
        sharpe_of: a version's Sharpe ratio over the span of `report`; a UserError where it has none.
    """
    changed = registry.point(CANDIDATE, version)
    champion = registry.version_at(CHAMPION)
    if champion is not None and registry.tags(champion).get(BUNDLE_TAG) == identity:
        # The same bundle, of which this version is the whole copy.
        changed |= registry.point(CHAMPION, version)
        champion = version
    reasons = refusals(report, config)
    if config.beat_champion and champion not in (None, version):
        reasons += _refusals_beside(champion, report, sharpe_of)
    summary = "; ".join(reasons) or "every check passed"
    tags = {"gate": "refused" if reasons else "passed", "gate_reasons": summary, "agent": report.agent}
    changed |= registry.tag(version, tags)
    if not reasons:
        changed |= registry.point(CHAMPION, version)
    return Decision(tuple(reasons), changed)


def _refusals_beside(champion: str, report: BacktestReport, sharpe_of: Callable[[str], float]) -> list[str]:
    try:
        return refusal_beside(report, sharpe_of(champion))
    except UserError as error:
        return [
            f"the champion, version {champion}, cannot be traded over today's test span: {error}; "
            f"take the alias {CHAMPION} off it to let another follow"
        ]
