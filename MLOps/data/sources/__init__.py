"""Where bars come from: one file a source, one function each, all answering raw bars in contract form.

The exception is `labelled`, whose table has a contract of its own: features and targets in the place of prices."""

from collections.abc import Callable

import pandas as pd

from MLOps.config.data import DataConfig
from MLOps.data.sources.ccxt import read_ccxt
from MLOps.data.sources.files import read_csv, read_files
from MLOps.data.sources.labelled import read_labelled
from MLOps.data.sources.sample import read_sample
from MLOps.data.sources.synthetic import make_synthetic
from MLOps.data.sources.yahoo import read_yahoo

SOURCES: dict[str, Callable[[DataConfig, int], pd.DataFrame]] = {
    "sample": read_sample,
    "csv": read_csv,
    "files": read_files,
    "yahoo": read_yahoo,
    "ccxt": read_ccxt,
    "synthetic": make_synthetic,
    "labelled": read_labelled,
}


def load_bars(config: DataConfig, seed: int) -> pd.DataFrame:
    """Raw bars of the configured source, as it gave them.

    Raises:
        UserError: the source cannot be read, or what it gave is no bars, or no labelled table.
    """
    return SOURCES[config.source](config, seed)
