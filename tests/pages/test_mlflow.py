"""What a user sees in MLflow: runs, one run, a comparison, the registered model and its version."""

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from MLOps.artifacts import read_json
from tests.pages.conftest import TIMEOUT_S
from tests.project import Project

pytestmark = pytest.mark.slow

MODEL = "trading-agent"


@pytest.fixture(scope="module")
def runs(finished: Project) -> dict[str, str]:
    """Ids of the newest runs of the experiment, by name; the parent run of `dvc repro` is called parent."""
    client = finished.client()
    found = client.search_runs([experiment(finished)], max_results=1000, order_by=["attributes.start_time ASC"])
    figures = set(read_json(finished.folder / "reports/metrics.json"))
    return {
        "parent" if figures <= set(run.data.metrics) else run.data.tags["mlflow.runName"]: run.info.run_id
        for run in found
    }


def experiment(project: Project) -> str:
    found = project.client().get_experiment_by_name("trading")
    assert found is not None
    return str(found.experiment_id)


def seen(page: Page, *texts: str) -> None:
    """Each text is on the page, where a user can scroll to it."""
    for text in texts:
        expect(page.get_by_text(text).first).to_be_attached(timeout=TIMEOUT_S * 1000)
    body = page.inner_text("body")
    assert [text for text in texts if text not in body] == []


def test_the_runs_page_lists_the_runs(
    page: Page, mlflow_ui: str, finished: Project, runs: dict[str, str], picture: Callable[[str], None]
) -> None:
    page.goto(f"{mlflow_ui}/#/experiments/{experiment(finished)}/runs")
    parent = page.locator(".ag-row", has=page.locator(f"a[href$='{runs['parent']}']")).first
    expect(parent).to_contain_text("dvc repro", timeout=TIMEOUT_S * 1000)
    parent.locator("button").click()  # shows the runs of the stages
    seen(page, "train_predictor/lstm", "train_agent/ppo", "backtest", "walk_forward")
    picture("mlflow_runs")


def test_the_parent_run_shows_the_eight_figures(
    page: Page, mlflow_ui: str, finished: Project, runs: dict[str, str], picture: Callable[[str], None]
) -> None:
    figures = read_json(finished.folder / "reports/metrics.json")
    assert len(figures) == 8
    page.goto(f"{mlflow_ui}/#/experiments/{experiment(finished)}/runs/{runs['parent']}")
    seen(page, *figures)
    picture("mlflow_run")


def test_two_predictors_can_be_compared(
    page: Page, mlflow_ui: str, finished: Project, runs: dict[str, str], picture: Callable[[str], None]
) -> None:
    names = ["train_predictor/lstm", "train_predictor/logistic"]
    chosen = json.dumps([runs[name] for name in names])
    page.goto(f"{mlflow_ui}/#/compare-runs?runs={chosen}&experiments={json.dumps([experiment(finished)])}")
    seen(page, "Comparing 2 Runs", *names, "selection_loss", "selection_accuracy")
    picture("mlflow_compare")


def test_the_model_says_what_it_is_and_why_it_was_refused(
    page: Page, mlflow_ui: str, picture: Callable[[str], None]
) -> None:
    page.goto(f"{mlflow_ui}/#/models/{MODEL}")
    seen(page, MODEL, "Decision", "Version 1", "candidate")
    picture("mlflow_model")


def test_the_version_shows_its_card_and_its_checks(
    page: Page, mlflow_ui: str, finished: Project, picture: Callable[[str], None]
) -> None:
    (version,) = [
        version for version in finished.client().search_model_versions(f"name = '{MODEL}'") if "gate" in version.tags
    ]
    page.goto(f"{mlflow_ui}/#/models/{MODEL}/versions/{version.version}")
    seen(page, "Trading rules", "Intended use", "gate_reasons", *(tag for tag in version.tags if "check_" in tag))
    picture("mlflow_version")
