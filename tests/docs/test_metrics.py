"""docs/metrics.md names every metric of a run, and no metric that the code has not."""

import re
from collections.abc import Iterator

import pytest

from MLOps.artifacts import read_json
from MLOps.config.gate import GateConfig
from MLOps.evaluation.gate import CHECKS
from tests.project import ROOT, Project

PAGE = ROOT / "docs/metrics.md"
ROWS = re.findall(r"^\| (`[^|]+`) \|", PAGE.read_text(), flags=re.MULTILINE)
NAMES = [name for row in ROWS for name in re.findall(r"`([^`]+)`", row)]
SEEDS = [name for name in NAMES if name.startswith("_")]


def patterns(project: Project) -> Iterator[str]:
    """The names of the page as regular expressions."""
    forecasts = PAGE.read_text().partition("## Forecasts")[2].partition("Where they are logged")[0]
    scores = re.findall(r"`([a-z][a-z0-9_]+)`", forecasts)
    meanings = {
        "PREDICTOR": ["lstm", "logistic", "ensemble"],
        "BASELINE": ["class_prior", "persistence"],
        "POLICY": [*read_json(project.folder / "reports/backtest/report.json")["metrics"]],
        "SPAN": ["train", "validation"],
        "CLASS": ["fall", "stationary", "rise"],
        "AGENT": [r"\w+"],
        "SCORE": scores,
    }
    for name in NAMES:
        for word, choices in meanings.items():
            name = name.replace(word, f"(?:{'|'.join(choices)})")  # noqa: PLW2901
        yield name.replace("…", ".+")
        if name.startswith("selected_validation_"):
            yield from (name.removeprefix("selected_") + ending for ending in SEEDS)


@pytest.fixture(scope="module")
def logged(finished: Project) -> set[str]:
    """The names of all metrics of all runs."""
    client = finished.client()
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return {name for run in client.search_runs(experiments, max_results=1000) for name in run.data.metrics}


def test_every_metric_of_a_run_is_named(finished: Project, logged: set[str]) -> None:
    known = re.compile("|".join(f"(?:{pattern})" for pattern in patterns(finished)))
    assert len(logged) > 200
    assert sorted(name for name in logged if not known.fullmatch(name)) == []


def test_headlines_and_reports_are_named(finished: Project) -> None:
    report = read_json(finished.folder / "reports/backtest/report.json")
    verdicts = read_json(finished.folder / "reports/verdicts.json")["verdicts"]
    asked = {*read_json(finished.folder / "reports/metrics.json"), *report["metrics"]["agent"]}
    asked |= {"excess", "random_total_returns", "random_rank"} & set(report)
    asked |= {key for verdict in verdicts for key, value in verdict.items() if isinstance(value, int | float)}
    page = PAGE.read_text()
    assert sorted(name for name in asked if f"`{name}`" not in page and f"_{name}`" not in page) == []


def test_every_check_of_the_gate_is_named() -> None:
    gate = PAGE.read_text().partition("## Gate")[2]
    assert [name for name in [*CHECKS, "champion"] if f"`{name}`" not in gate] == []
    assert hasattr(GateConfig, "champion")


def test_no_metric_is_made_up(finished: Project, logged: set[str]) -> None:
    """Names without a capital letter that no run logs are of reports, of the gate, or of settings that are off."""
    elsewhere = {"excess", "random_total_returns", "reward", *CHECKS, "champion"}
    scores = {name for name in NAMES if any(metric.endswith(f"_{name}") for metric in logged)}
    off = {"selection_rmse", "selection_rank_ic", "trial_selection_loss", "best_selection_loss", *SEEDS}
    plain = {name for name in NAMES if name.islower() and "…" not in name}
    assert sorted(plain - logged - scores - elsewhere - off) == []
