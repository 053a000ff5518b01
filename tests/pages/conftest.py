"""Chromium, and a real `mlflow ui` on the store of the finished run.

`pytest tests/pages --screenshots docs/images` also saves pictures of the pages, 1 400 and 390 pixels wide.
"""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from MLOps.commands.servers import free_port
from tests.project import Project, environment
from tests.servers import running

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
TIMEOUT_S = 120  # of a page on a busy machine
# What the browser remembers of MLflow after a click on "Model training" and on the cross of the assistant's panel.
SETTINGS = {
    "mlflow.workflowType_v1": '"machine_learning"',
    "mlflow.assistant.panelOpen_v1": "false",
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
    "mlflow.telemetry.info.alert.dismissed_v1": "true",
}
WIDTHS = {"": 1400, "_phone": 390}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", type=Path, help="folder for pictures of the pages")


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser is installed: expected one of {', '.join(BROWSERS)} on the PATH")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page that reaches nothing but this machine."""
    context = browser.new_context(viewport={"width": WIDTHS[""], "height": 1000}, timezone_id="UTC")
    context.set_default_timeout(TIMEOUT_S * 1000)
    context.route(
        lambda url: not url.startswith(("http://127.0.0.1", "file:", "data:", "blob:")), lambda route: route.abort()
    )
    stored = "".join(
        f"localStorage.setItem({json.dumps(key)}, {json.dumps(value)});" for key, value in SETTINGS.items()
    )
    context.add_init_script(f"if (location.protocol === 'http:') {{ {stored} }}")
    yield context.new_page()
    context.close()


@pytest.fixture(scope="package")
def mlflow_ui(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the server."""
    address = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "mlflow", "ui", "--port", address.rpartition(":")[2], "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{finished.folder}/mlflow.db"]
    with running(command, f"{address}/health", tmp_path_factory.mktemp("mlflow_ui"), environment()):
        yield address


@pytest.fixture
def picture(page: Page, request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Saves the page in both widths if `--screenshots` names a folder."""
    folder: Path | None = request.config.getoption("--screenshots")

    def save(name: str) -> None:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            for suffix, width in WIDTHS.items():
                page.set_viewport_size({"width": width, "height": 1000})
                page.wait_for_timeout(1500)  # charts follow the width
                page.screenshot(path=folder / f"{name}{suffix}.png")

    return save
