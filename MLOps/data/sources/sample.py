"""`data.source: sample`: the bundled daily bars of five US stocks, 2000 to 2013 (data/sample/README.md)."""

import pandas as pd

from MLOps.config.data import DataConfig
from MLOps.data.adjust import adjust
from MLOps.data.bars import check_bars
from MLOps.data.sources import SAMPLE
from MLOps.data.sources.files import bars_from_file


def bundled_bars() -> pd.DataFrame:
    """The bundled bars, adjusted for splits and dividends."""
    return check_bars(adjust(bars_from_file(SAMPLE)), str(SAMPLE))


def read_sample(_config: DataConfig, _seed: int) -> pd.DataFrame:
    """The bundled raw bars, whatever the configuration."""
    return bars_from_file(SAMPLE)
