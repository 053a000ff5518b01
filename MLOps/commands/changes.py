"""What the last run changed against a commit, in Markdown: for a pull request, or the commit of a retraining."""

import json
import math
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from MLOps.artifacts import read_json
from MLOps.commands.git import git
from MLOps.config.params import parse_yaml
from MLOps.errors import UserError
from MLOps.experiment_tracking.record import flatten
from MLOps.experiment_tracking.runs import changed
from MLOps.pipelines import paths

PARAMS = Path("params.yaml")


def changes(base: str) -> str:
    """The headlines beside those of `base`, the parameters that differ, and the gate's verdict.

    Args:
        base: a commit or branch, as Git names it.

    Raises:
        UserError: there is no such commit, or no run.
    """
    if not paths.HEADLINES.exists():
        raise UserError(f"{paths.HEADLINES}: expected the figures of a run, found none; run `dvc repro`")
    asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}")
    commit = git(*asked, wrong=f"{base}: Git knows no such commit; name another")
    then, now = _committed(commit, paths.HEADLINES), read_json(paths.HEADLINES)
    lines = [f"### Headlines beside {base}", "", f"| | {base} | now | change |", "|---|---:|---:|---:|"]
    lines += [_row(name, then.get(name), now.get(name)) for name in sorted({*then, *now})]
    lines += ["", f"Parameters: {_parameters(commit)}.", "", *_gate()]
    return "\n".join(lines)


def _row(name: str, then: float | None, now: float | None) -> str:
    change = "" if then is None or now is None else f"{now - then:+.4g}"
    return f"| {name.replace('_', ' ')} | {_figure(then)} | {_figure(now)} | {change} |"


def _figure(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.4g}"


def _parameters(commit: str) -> str:
    then = flatten(parse_yaml(git("show", f"{commit}:./{PARAMS}")))
    now = flatten(parse_yaml(PARAMS.read_text()))
    return changed(_words(then), _words(now)) or "as they were"


def _words(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}


def _gate() -> list[str]:
    if not paths.VERDICT.exists():
        return ["No agent, so no gate."]
    verdict = read_json(paths.VERDICT)
    return [
        f"### Gate: {'passed' if verdict['promoted'] else 'refused'}",
        "",
        f"{verdict['trials']} trials counted.",
        "",
        "| check | | reason |",
        "|---|---|---|",
        *(f"| {c['name']} | {'passed' if c['passed'] else '**failed**'} | {c['reason']} |" for c in verdict["checks"]),
    ]


def _committed(commit: str, path: Path) -> dict[str, float]:
    """The figures of a commit; none where it has no such file."""
    shown = subprocess.run(["git", "show", f"{commit}:./{path}"], capture_output=True, text=True)
    return dict(json.loads(shown.stdout)) if shown.returncode == 0 else {}
