"""Charts: well-formed, complete in their extremes, deterministic."""

import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest

from MLOps.reporting.charts import (
    MAX_BUCKETS,
    Line,
    _nice_ticks,
    _tick_labels,
    histogram,
    line_chart,
    reliability_chart,
)


def lines(frequency: str, count: int) -> list[Line]:
    stamps = pd.date_range("2021-03-15", periods=count, freq=frequency).to_numpy()
    walk = np.cumsum(np.random.default_rng(0).normal(0, 0.01, (2, count)), axis=1)
    return [Line("agent", stamps, walk[0]), Line("<script>", stamps, walk[1])]


@pytest.mark.parametrize(
    ("frequency", "count"),
    [("B", 2), ("B", 60), ("B", 500), ("B", 6000), ("h", 48), ("h", 9000), ("5min", 300), ("5min", 20_000)],
)
def test_every_span_has_a_few_ticks_of_time(frequency: str, count: int) -> None:
    chart = str(line_chart(lines(frequency, count), ".0%", "a <chart>"))
    assert "<script>" not in chart and "&lt;script&gt;" in chart
    root = ET.fromstring(f"<div>{chart}</div>")  # noqa: S314
    labels = [text.text for text in root.iter("text") if "x" in str(text.get("class")).split()]
    assert 1 <= len(labels) <= 6
    assert len(set(labels)) == len(labels)
    assert len(chart) < 60_000
    assert chart == str(line_chart(lines(frequency, count), ".0%", "a <chart>"))


@pytest.mark.parametrize("seed", range(20))
def test_the_axis_is_not_half_empty(seed: int) -> None:
    low, high = np.sort(np.random.default_rng(seed).normal(0, 10, 2))
    ticks = _nice_ticks(low, high)
    assert ticks[0] <= low and high <= ticks[-1]
    assert 4 <= len(ticks) <= 9
    assert high - low > 0.55 * (ticks[-1] - ticks[0])


@pytest.mark.parametrize("high", [0.5, 0.04, 0.031, 0.0004])
def test_labels_of_an_axis_differ(high: float) -> None:
    ticks = _nice_ticks(-high, high)
    labels = _tick_labels(ticks, ".0%")
    assert len(set(labels)) == len(ticks)
    values = [float(label.replace("−", "-").rstrip("%")) / 100 for label in labels]
    assert values == pytest.approx(ticks, abs=1e-9)


def test_no_extreme_is_lost_where_points_are_many() -> None:
    count = 50_000
    y = np.zeros(count)
    y[31_234], y[41_234] = 1.0, -1.0
    chart = str(line_chart([Line("one", np.arange(count, dtype=float), y)], ".0%", "spikes", height=100))
    path = next(part for part in chart.split('d="') if part.startswith("M") and part.count("L") > 10)
    heights = {float(point.split(" ")[1]) for point in path.split('"')[0][1:].split("L")}
    assert {10.0, 64.0} <= heights, "the top and the bottom of the axis"
    assert path.count("L") <= 4 * MAX_BUCKETS


def test_what_has_no_value_is_left_out() -> None:
    x = np.arange(3.0)
    assert line_chart([Line("one", x, np.full(3, np.nan))], ".0%", "nothing") == ""
    assert histogram(np.array([]), ".0%", "nothing") == ""
    ET.fromstring(str(line_chart([Line("one", x, np.array([np.nan, 1.0, 1.0]))], ".0%", "flat")))  # noqa: S314
    ET.fromstring(str(histogram(np.zeros(5), ".0%", "one value", mark=0.0)))  # noqa: S314
    ET.fromstring(f"<div>{reliability_chart({'a': [], 'b': [(0.5, 0.4)]}, 'two')}</div>")  # noqa: S314
