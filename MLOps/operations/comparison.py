"""Versions of the registered model side by side: what they are, their figures and the gate's checks."""

from collections.abc import Mapping, Sequence
from typing import Any

from MLOps.artifacts import read_json
from MLOps.evaluation.report import AGENT, BUY_AND_HOLD
from MLOps.model_registry.versions import ALIASES, BUNDLE_TAG, Registry
from MLOps.operations.model_card import METRICS
from MLOps.operations.promotion import CHECK_TAG

FIGURES = METRICS | {"exposure": "{:.2%}"}
OF_BUY_AND_HOLD = ("total_return", "sharpe")
WIDTH = 34


def described(registry: Registry, version: str) -> dict[str, Any]:
    """A version: aliases, agent, test span, figures on it by policy, checks of the gate by name.

    Raises:
        UserError: its files are not as they were registered.
    """
    metadata, tags = read_json(registry.bundle(version) / "metadata.json"), registry.tags(version)
    report = metadata["backtest"]
    checks = {name.removeprefix(CHECK_TAG): said for name, said in tags.items() if name.startswith(CHECK_TAG)}
    return {
        "version": version,
        "aliases": [alias for alias in ALIASES if registry.version_at(alias) == version],
        "bundle": tags.get(BUNDLE_TAG),
        "agent": report["agent"],
        "predictors": metadata["ensemble"]["members"],
        "span": report["span"],
        "figures": {policy: report["metrics"][policy] for policy in (AGENT, BUY_AND_HOLD)},
        "random_rank": report["random_rank"],
        "gate": tags.get("gate", "not asked"),
        "trials": tags.get("trials"),
        "checks": checks,
    }


def as_table(versions: Sequence[Mapping[str, Any]]) -> str:
    """A column a version, and below it the checks of each."""
    titles = [f"version {one['version']}" + "".join(f", {alias}" for alias in one["aliases"]) for one in versions]
    rows = [
        ("agent", [one["agent"] for one in versions]),
        ("predictors", [", ".join(one["predictors"]) or "none" for one in versions]),
        ("test span, from", [one["span"]["start"][:10] for one in versions]),
        ("to", [one["span"]["end"][:10] for one in versions]),
        *((name.replace("_", " "), _figures(versions, AGENT, name)) for name in FIGURES),
        *(
            (f"{name.replace('_', ' ')}, buy and hold", _figures(versions, BUY_AND_HOLD, name))
            for name in OF_BUY_AND_HOLD
        ),
        ("above random timing", [f"{one['random_rank']:.0%}" for one in versions]),
        ("trials counted", [one["trials"] or "" for one in versions]),
        ("gate", [one["gate"] for one in versions]),
    ]
    lines = ["".join([" " * WIDTH, *(f"{title:>{WIDTH}}" for title in titles)])]
    lines += ["".join([f"{name:{WIDTH}}", *(f"{value:>{WIDTH}}" for value in values)]) for name, values in rows]
    if len({tuple(one["span"].values()) for one in versions}) > 1:
        lines += ["", "The test spans differ, so the figures are of different markets."]
    for title, one in zip(titles, versions, strict=True):
        lines += ["", f"Checks of {title}"]
        lines += [f"  {name}: {said}" for name, said in one["checks"].items()] or ["  none"]
    return "\n".join(lines)


def _figures(versions: Sequence[Mapping[str, Any]], policy: str, name: str) -> list[str]:
    return [FIGURES[name].format(one["figures"][policy][name]) for one in versions]
