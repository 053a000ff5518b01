"""A small table of bars, as files spell it before anyone has touched it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from MLOps.config.data import DataConfig, FilesConfig
from MLOps.config.params import load_params


@pytest.fixture
def config(tmp_path: Path) -> DataConfig:
    """The configuration of params.yaml, whose files are looked for in `tmp_path`/bars.csv."""
    return replace(load_params().data, source="files", files=FilesConfig(path=str(tmp_path / "bars.csv")))


@pytest.fixture
def bars() -> pd.DataFrame:
    """30 days of two symbols in contract form."""
    generator = np.random.default_rng(0)
    tables = []
    for symbol in ("AAA", "BBB"):
        close = 1000 * np.exp(np.cumsum(generator.normal(0, 0.01, 30)))
        opened = close * np.exp(generator.normal(0, 0.005, 30))
        tables.append(
            pd.DataFrame(
                {
                    "timestamp": pd.bdate_range("2024-01-02", periods=30, tz="UTC").astype("datetime64[us, UTC]"),
                    "symbol": symbol,
                    "open": opened.round(2),
                    "high": (np.maximum(opened, close) * 1.01).round(2),
                    "low": (np.minimum(opened, close) * 0.99).round(2),
                    "close": close.round(2),
                    "volume": generator.integers(1_000, 9_000_000, 30).astype(float),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)
