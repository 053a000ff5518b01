"""`data.source: sample`: the bundled daily bars of five US stocks, 2000 to 2013 (data/sample/README.md)."""

from pathlib import Path

import pandas as pd

from MLOps.config.data import DataConfig
from MLOps.data.sources.files import bars_from_csv

PATH = Path("data/sample/bars.csv.gz")


def bundled_bars() -> pd.DataFrame:
    """The bundled bars, adjusted for splits and dividends."""
    return bars_from_csv(PATH)


def read_sample(_config: DataConfig, _seed: int) -> pd.DataFrame:
    """The bundled bars, whatever the configuration."""
    return bundled_bars()
