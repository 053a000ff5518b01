"""Retraining: a longer span, the same pipeline, a report of what changed, a commit; on remotes that a team shares."""

import json
import subprocess
from datetime import date
from pathlib import Path

import pytest
import yaml

from MLOps.commands.changes import changes
from MLOps.commands.retraining import extend
from MLOps.errors import UserError
from tests.project import ROOT


def test_the_span_grows_and_nothing_else_of_the_file_changes(tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    text = (ROOT / "params.yaml").read_text()
    before = text.replace("  end: null #", '  end: "2024-01-01" #')
    assert before != text
    params.write_text(before)
    extend(params, date(2024, 2, 1))
    assert yaml.safe_load(params.read_text())["data"]["end"] == "2024-02-01"
    lines = [(a, b) for a, b in zip(before.splitlines(), params.read_text().splitlines(), strict=True) if a != b]
    assert len(lines) == 1, lines
    grown = params.read_text()
    extend(params, date(2023, 1, 1))
    assert params.read_text() == grown, "a span is not cut"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit of figures and parameters."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/metrics.json").write_text(json.dumps({"sharpe": 0.5, "cagr": 0.1}))
    (tmp_path / "params.yaml").write_text("seed: 7\ngate: {cagr: 0.0}\n")
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "first"]):
        subprocess.run(["git", "-c", "user.name=test", "-c", "user.email=test@localhost", *words], check=True)
    return tmp_path


def test_changes_against_a_commit(project: Path) -> None:
    assert "| sharpe | 0.5 | 0.5 | +0 |" in changes("HEAD")
    assert "Parameters: as they were." in changes("HEAD")
    (project / "reports/metrics.json").write_text(json.dumps({"sharpe": 0.75, "drawdown": 0.2}))
    (project / "params.yaml").write_text("seed: 8\ngate: {cagr: 0.0}\n")
    checks = [{"name": "cagr", "passed": False, "reason": "CAGR -1.00 %, expected above 0"}]
    verdict = {"promoted": False, "checks": checks, "trials": 3, "version": "2", "words": ""}
    (project / "reports/verdict.json").write_text(json.dumps(verdict))
    said = changes("HEAD")
    assert "| sharpe | 0.5 | 0.75 | +0.25 |" in said
    assert "| cagr | 0.1 |  |  |" in said
    assert "| drawdown |  | 0.2 |  |" in said
    assert "Parameters: seed: 7 → 8." in said
    assert "### Gate: refused" in said
    assert "| cagr | **failed** | CAGR -1.00 %, expected above 0 |" in said


@pytest.mark.parametrize("base", ["nowhere", "--output=left", ""])
def test_an_unknown_commit_is_a_sentence(base: str, project: Path) -> None:
    with pytest.raises(UserError, match="Git knows no such commit"):
        changes(base)
    assert not (project / "left").exists()
