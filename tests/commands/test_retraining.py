"""Retraining: a longer span, the same pipeline, a report of what changed, a commit; on remotes that a team shares."""

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
import yaml

from MLOps.commands.changes import changes
from MLOps.commands.retraining import extend, retrain
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


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pipeline of one stage on a folder of bars and a file that DVC keeps, with a remote."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "true")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"] |= {"source": "files", "end": "2024-01-01"}
    params["data"]["files"]["path"] = "bars"
    params["data"]["sentiment"] |= {"enabled": True, "path": "news.csv"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    stage = {"cmd": "cat news.csv > out", "deps": ["news.csv"], "outs": ["out"]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"one": stage}}))
    for folder in ("reports", "bars", "MLOps"):
        (tmp_path / folder).mkdir()
    (tmp_path / "reports/metrics.json").write_text("{}")
    (tmp_path / ".gitignore").write_text("/reports/retraining.md\n")
    (tmp_path / "bars/january.csv").write_text("bars of January")
    (tmp_path / "news.csv").write_text("old news")
    (tmp_path / "MLOps/known.py").touch()
    asked("git", "init", "--quiet")
    asked("git", "config", "user.name", "test")
    asked("git", "config", "user.email", "test@localhost")
    asked("dvc", "init", "--quiet")
    asked("dvc", "config", "core.site_cache_dir", str(tmp_path.parent / "site"))
    asked("dvc", "remote", "add", "--quiet", "--default", "shared", str(tmp_path.parent / "shared"))
    asked("dvc", "add", "--quiet", "news.csv")
    asked("dvc", "repro", "--quiet")
    asked("dvc", "push", "--quiet")
    asked("git", "add", "--all")
    asked("git", "commit", "--quiet", "--message", "first")
    return tmp_path


def asked(program: str, *words: str) -> str:
    command = [sys.executable, "-m", program, *words] if program == "dvc" else [program, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_new_data_is_kept_and_committed_and_nothing_else(repository: Path) -> None:
    """Wherever it is kept: in a folder that Git tracks, or in DVC. The pull brings no old data back."""
    (repository / "bars/february.csv").write_text("bars of February")
    (repository / "news.csv").write_text("new news")
    (repository / "out").write_text("spoilt")
    (repository / "notes.txt").write_text("of nobody's interest")
    retrain(until=None, commit=True, push=False)
    assert (repository / "news.csv").read_text() == (repository / "out").read_text() == "new news"
    assert sorted(asked("git", "show", "--name-only", "--format=").split()) == [
        "bars/february.csv",
        "dvc.lock",
        "news.csv.dvc",
    ]
    assert asked("git", "status", "--porcelain") == "?? notes.txt\n"
    clone = repository.parent / "clone"
    asked("git", "clone", "--quiet", str(repository), str(clone))
    subprocess.run([sys.executable, "-m", "dvc", "pull", "--quiet"], cwd=clone, check=True)
    assert (clone / "news.csv").read_text() == "new news"

    params = (repository / "params.yaml").read_text()
    longer = params.replace("2024-01-01", "2024-02-01")
    for file, text, told in (
        ("params.yaml", longer.replace("seed: 7", "seed: 8"), "params.yaml, beside data.end: expected no change"),
        ("MLOps/unknown.py", "", "MLOps/unknown.py: expected no change but those of a retraining"),
        ("MLOps/known.py", "x = 1", "MLOps/known.py: expected no change but those of a retraining"),
    ):
        before = (repository / file).read_text() if (repository / file).exists() else None
        (repository / file).write_text(text)
        with pytest.raises(UserError, match=told):
            retrain(until=None, commit=True, push=False)
        (repository / file).unlink() if before is None else (repository / file).write_text(before)
    (repository / "params.yaml").write_text(longer)
    retrain(until=None, commit=True, push=False)
    assert asked("git", "show", "--name-only", "--format=").split() == ["params.yaml"]
