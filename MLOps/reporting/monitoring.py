"""The page of a drift report: one offline HTML file in the look of the report page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from MLOps.artifacts import write_text
from MLOps.reporting.charts import Line, line_chart
from MLOps.reporting.page import environment

LEAST_POINTS = 2  # of a chart
MOST_CHANNELS = 15  # in a table
TITLES = {
    "feed": "Feed",
    "inputs": "Features",
    "forecasts": "Forecasts",
    "decisions": "Decisions",
    "performance": "Returns of the agent",
}


def write_monitoring_page(
    path: Path, report: Mapping[str, Any], histories: Mapping[str, tuple[Sequence[str], Sequence[float]]]
) -> None:
    """Write the page.

    Args:
        report: as in the JSON file.
        histories: timestamps and the largest statistic at each, by check.
    """
    findings = [
        {
            **finding,
            "title": TITLES[finding["check"]],
            "shown": finding["channels"][:MOST_CHANNELS],
            "chart": chart(finding, *histories.get(finding["check"], ((), ()))),
        }
        for finding in report["findings"]
    ]
    text = environment().get_template("monitoring.html").render(report=report, findings=findings)
    write_text(path, text)


def chart(finding: Mapping[str, Any], timestamps: Sequence[str], values: Sequence[float]) -> str:
    """The largest statistic over its limit by time; above 1 is a change."""
    if len(values) < LEAST_POINTS or finding["limit"] is None:
        return ""
    ratios = np.array(values) / finding["limit"]
    line = Line("largest statistic over its limit", np.array(timestamps, dtype="datetime64[us]"), ratios)
    return line_chart([line], ".2f", f"{finding['check']}: largest statistic over its limit", 200, level=1.0)
