"""`python -m MLOps monitor` on a real bundle: its statuses, what it writes, and the faults that it names."""

import json
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from MLOps.commands.program import main
from MLOps.data.bars import PRICES
from MLOps.monitoring.reference import REFERENCE
from tests.project import Project

SOON = "2013-03-02"  # the day after the newest bar of the sample


def monitor(*words: str) -> Result:
    return CliRunner().invoke(main, ["monitor", *words])


@pytest.fixture
def bars(project: Project) -> pd.DataFrame:
    return pd.read_parquet(project.folder / "data/processed/bars.parquet")


def findings(result: Result) -> dict[str, dict[str, object]]:
    return {finding["check"]: finding for finding in json.loads(result.stdout)["findings"]}


def test_it_judges_the_configured_bars_and_leaves_a_report(project: Project) -> None:
    done = monitor("--version", "candidate", "--now", SOON, "--json")
    report = json.loads(done.stdout)
    assert done.exit_code == (3 if report["retrain"] else 0), done.stderr
    assert report["newest"].startswith("2013-03-01")
    found = findings(done)
    assert list(found) == ["feed", "inputs", "forecasts", "decisions", "performance"]
    assert all(finding["verdict"] in ("changed", "unchanged") for finding in found.values()), found
    assert found["feed"]["verdict"] == "unchanged", found["feed"]
    assert json.loads(Path("reports/monitoring.json").read_text()) == report
    page = Path("reports/monitoring.html").read_text()
    assert "Drift of trading-agent version 1" in page and "<script" not in page
    client = project.client()
    run = client.get_run(str(client.get_model_version("trading-agent", "1").run_id))
    assert run.data.metrics["drift"] == float(report["retrain"])
    assert {f"drift_{check}" for check in found} <= set(run.data.metrics)
    bundle = Path(client.get_model_version_download_uri("trading-agent", "1")) / "artifacts" / "bundle"
    assert (bundle / REFERENCE / "inputs.safetensors").exists()


def test_mistakes_are_sentences(project: Project) -> None:
    for words, sentence in {
        ("--version", "champion"): "monitor: trading-agent: expected a version with the alias champion, found none",
        (
            "--version",
            "1",
            "--bars",
            "absent.csv",
        ): "monitor: --bars: expected a file or a folder of bars, found no absent",
        ("--version", "1", "--now", "soon"): "monitor: --now: expected a time as 2024-01-31T15:30, found 'soon'",
    }.items():
        done = monitor(*words)
        assert (done.exit_code, done.stdout) == (1, ""), done.output
        assert done.stderr.startswith(sentence) and done.stderr.count("\n") == 1


@pytest.mark.slow
def test_an_old_newest_bar_and_a_change_of_unit_advise_to_train_again(project: Project, bars: pd.DataFrame) -> None:
    late = monitor("--version", "candidate")
    assert late.exit_code == 3
    assert "no new bars: the newest is of 2013-03-01" in late.stdout
    cut = bars["timestamp"].drop_duplicates().nlargest(10).min()
    bars.loc[(bars["timestamp"] >= cut) & (bars["symbol"] == "IBM"), list(PRICES)] *= 100
    bars.to_parquet("changed.parquet")
    done = monitor("--version", "candidate", "--now", SOON, "--bars", "changed.parquet")
    assert done.exit_code == 3
    assert "IBM: close is at" in done.stdout


def test_too_few_bars_are_refused(project: Project, bars: pd.DataFrame) -> None:
    bars[bars["timestamp"] >= "2012-09-01"].to_parquet("few.parquet")
    done = monitor("--version", "candidate", "--now", SOON, "--bars", "few.parquet")
    assert done.exit_code == 1
    assert "the new bars: expected at least" in done.stderr, done.stderr
