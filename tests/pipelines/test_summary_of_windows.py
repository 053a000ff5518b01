"""What the summary says of the walk-forward windows."""

from pathlib import Path

import pytest

from MLOps.artifacts import write_json
from MLOps.pipelines import paths
from MLOps.pipelines.summary import COLUMNS, walk_forward


@pytest.mark.parametrize("count", [1, 3])
def test_the_joined_windows_are_listed_where_there_are_several(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "WALK_FORWARD_REPORT", tmp_path / "report.json")
    metrics = {name: dict.fromkeys(COLUMNS, 0.5) for name in ("agent", "buy_and_hold")}
    spans = [(f"200{number}-01-01", f"200{number + 1}-01-01") for number in range(count)]
    windows = [
        {"start": start, "end": end, "agent": "ppo", "seed": 0, "train": {"start": "1999-01-01"}, "metrics": metrics}
        for start, end in spans
    ]
    write_json(tmp_path / "report.json", {"windows": windows, "joined": metrics})
    lines = walk_forward()
    assert sum(line.startswith(spans[0][0]) for line in lines) == (1 if count == 1 else 2)
    assert any(line.startswith("buy_and_hold") for line in lines) == (count > 1)
    assert sum("ppo seed 0, trained from 1999-01-01" in line for line in lines) == count
