"""What a user sees on the report page, opened from the disk."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from MLOps.artifacts import read_json
from tests.project import Project

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("width", [1400, 390])
def test_the_report_shows_verdict_figures_and_charts(
    page: Page, finished: Project, width: int, picture: Callable[[str], None]
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_viewport_size({"width": width, "height": 1000})
    address = (finished.folder / "reports/index.html").as_uri()
    page.goto(address)
    assert asked == [address]
    body = page.inner_text("body")
    verdict = read_json(finished.folder / "reports/verdict.json")
    missing = [check["reason"] for check in verdict["checks"] if check["reason"].split(",")[0] not in body]
    assert missing == []
    assert page.locator("svg").count() >= 3
    for heading in ("Performance", "Positions and trades", "Predictors", "Data quality", "Trials"):
        assert page.get_by_role("heading", name=heading).first.is_visible(), heading
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width == 1400:
        picture("report")
