"""Where bars come from: one file a source, one function each, all answering tables in the bars contract."""

from collections.abc import Callable

import pandas as pd

from MLOps.config.params import DataConfig
from MLOps.data.sources.csv import read_csv
from MLOps.data.sources.sample import read_sample
from MLOps.data.sources.synthetic import make_synthetic

SOURCES: dict[str, Callable[[DataConfig, int], pd.DataFrame]] = {
    "sample": read_sample,
    "csv": read_csv,
    "synthetic": make_synthetic,
}


def load_bars(config: DataConfig, seed: int) -> pd.DataFrame:
    """Bars of the configured source, checked against the bars contract.

    Raises:
        UserError: the source cannot be read, or what it gave is no bars.
    """
    return SOURCES[config.source](config, seed)
