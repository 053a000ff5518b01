"""The standing of a registered predictor: `candidate` always, `champion` if its validation passed it; tags say why."""

from collections.abc import Mapping
from typing import Any

from MLOps.evaluation.verdicts import PARTS
from MLOps.model_registry.versions import CHAMPION, Registry


def promote_predictor(
    registry: Registry, version: str, verdict: Mapping[str, Any], scores: Mapping[str, Any] | None
) -> bool:
    """Point `candidate` at a version, and `champion` if the verdict is that it passed.

    Args:
        verdict: `Verdict.to_dict`, with the convergence of the training.
        scores: on the test span by name, each with `value`, `lower` and `upper`; None where there are none.

    Returns:
        Whether the registry changed.
    """
    changed = registry.put_forward(version)
    # The alias comes after the tags: a champion says why it is one.
    changed |= registry.tag(version, predictor_tags(verdict, scores))
    if verdict["passed"]:
        changed |= registry.point(CHAMPION, version)
    return changed


def predictor_tags(verdict: Mapping[str, Any], scores: Mapping[str, Any] | None) -> dict[str, str]:
    """The verdict and the figures of a predictor as tags of its version."""
    tags = {"verdict": _passed(verdict["passed"]), "conclusion": verdict["conclusion"]}
    for part in PARTS:
        gain = verdict[part]
        figures = interval(gain["gain"], gain["lower"], gain["upper"])
        tags[part] = f"{_passed(part in verdict['skilled_in'])}: gain {figures} nats"
    if training := verdict.get("convergence"):
        tags["convergence"] = f"{training['state']}: {training['reason']}"
    tags["validation_log_loss"] = f"{verdict['log_loss']:.4g}"
    for comparison in verdict["comparisons"]:
        figures = interval(comparison["gain"], comparison["lower"], comparison["upper"])
        tags[f"validation_gain_over_{comparison['baseline']}"] = figures
    for name, score in (scores or {}).items():
        tags[f"test_{name}"] = interval(score["value"], score["lower"], score["upper"])
    return tags


def interval(value: float, lower: float | None, upper: float | None) -> str:
    """An estimate with its confidence interval, where there is one."""
    return f"{value:.4g}" if lower is None else f"{value:.4g} [{lower:.4g}, {upper:.4g}]"


def _passed(passed: bool) -> str:
    return "passed" if passed else "failed"
