"""The page of a drift report: its verdict, its charts, and text from outside that is never markup."""

from pathlib import Path
from typing import Any

from MLOps.monitoring.judgement import CHANGED, NOT_JUDGED, UNCHANGED, Channel, Finding
from MLOps.reporting.monitoring import write_monitoring_page
from tests.reporting.test_page import Page

STAMPS = tuple(f"2024-01-{day:02d}T00:00:00" for day in range(1, 11))
FINDINGS = (
    Finding("feed", UNCHANGED),
    Finding(
        "inputs",
        CHANGED,
        ("<b>x</b> (level): +9.1 standard errors, limit 6.0",),
        9.1,
        6.0,
        (Channel("<b>x</b>", "level", 9.1, True), Channel("y", "misfit", -0.4, False)),
        tuple(float(value) for value in range(10)),
        STAMPS,
        ("NEW",),
    ),
    Finding("forecasts", NOT_JUDGED, ("the reference has 12 bars, fewer than 200",)),
)


def test_the_page_shows_the_verdict_the_series_and_their_course(tmp_path: Path) -> None:
    report: dict[str, Any] = {
        "model": "trading-agent",
        "version": "3",
        "bundle": "0123456789abcdef",
        "retrain": True,
        "window_bars": 40,
        "first": "2024-01-01",
        "newest": "2024-01-10",
        "now": "2024-01-10T15:00:00",
        "false_alarms_per_month": 0.02,
        "findings": [finding.to_dict() for finding in FINDINGS],
    }
    histories = {finding.check: (finding.timestamps, finding.history) for finding in FINDINGS}
    write_monitoring_page(tmp_path / "page.html", report, histories)
    text = (tmp_path / "page.html").read_text()
    page = Page(text)
    assert list(page.words)[1:] == ["verdict", "feed", "inputs", "forecasts"]
    assert "changed: retrain" in page.words["verdict"] and "2.0%" in page.words["verdict"]
    assert "Too new to be judged: NEW" in page.words["inputs"] and "+9.1" in page.words["inputs"]
    assert "fewer than 200" in page.words["forecasts"] and "No fault found" in page.words["feed"]
    assert text.count("<svg") == 1 and "<b>x" not in text and "<script" not in text
    write_monitoring_page(tmp_path / "again.html", report, histories)
    assert (tmp_path / "again.html").read_bytes() == (tmp_path / "page.html").read_bytes()
