"""`data.symbols`, `data.start` and `data.end` select bars of every source."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from MLOps.config.data import CsvConfig, DataConfig
from MLOps.data.bars import check_raw_bars
from MLOps.data.sources import load_bars
from MLOps.errors import UserError


@pytest.mark.parametrize("source", ["sample", "csv", "files", "synthetic"])
def test_symbols_and_days_are_selected(source: Any, config: DataConfig, bars: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    bars.to_csv(path, index=False)
    config = replace(config, source=source, csv=CsvConfig(path=str(path)))
    whole = load_bars(config, 0)
    names = sorted(whole["symbol"].unique())
    stamps = pd.DatetimeIndex(whole["timestamp"].unique()).sort_values()
    first, last = stamps[len(stamps) // 3], stamps[2 * len(stamps) // 3]
    chosen: dict[str, Any] = {"symbols": tuple(names[:-1]), "start": str(first.date()), "end": str(last.date())}
    found = load_bars(replace(config, **chosen), 0)
    days = whole["timestamp"].dt.normalize()
    expected = whole[whole["symbol"].isin(names[:-1]) & (days >= first.normalize()) & (days < last.normalize())]
    pd.testing.assert_frame_equal(found, expected.reset_index(drop=True))
    check_raw_bars(found, "selected")
    with pytest.raises(UserError, match=f"data.symbols: the source {source} has no 'ZZZZ'; known here: {names[0]}"):
        load_bars(replace(config, symbols=("ZZZZ",)), 0)
    with pytest.raises(UserError, match=r"data\.start, data\.end: expected bars from 2090-01-01 to the last, found"):
        load_bars(replace(config, start="2090-01-01"), 0)
