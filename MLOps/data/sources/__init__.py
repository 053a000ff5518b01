"""Data sources: one file and one function per source, each returning raw bars in contract form.

The exception is `labelled`, whose table has its own contract: features and targets instead of prices.
"""

from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from MLOps.config.data import DataConfig

if TYPE_CHECKING:
    import pandas as pd

# The function of each source; it takes the configuration and a seed. Names, so that only the one in use is imported.
SOURCES: dict[str, str] = {
    "sample": "MLOps.data.sources.sample:read_sample",
    "csv": "MLOps.data.sources.files:read_csv",
    "files": "MLOps.data.sources.files:read_files",
    "yahoo": "MLOps.data.sources.yahoo:read_yahoo",
    "ccxt": "MLOps.data.sources.ccxt:read_ccxt",
    "synthetic": "MLOps.data.sources.synthetic:make_synthetic",
    "labelled": "MLOps.data.sources.labelled:read_labelled",
}
SAMPLE = Path("data/sample/bars.csv.gz")


def load_bars(config: DataConfig, seed: int) -> "pd.DataFrame":
    """Raw bars (or the labelled table) of the configured source.

    Raises:
        UserError: the source cannot be read, or its table breaks the contract.
    """
    bars: pd.DataFrame = resolve_name(SOURCES[config.source])(config, seed)
    return bars


def source_file(config: DataConfig) -> Path | None:
    """The file or folder that the configured source reads; None for a source without files."""
    files = {"csv": config.csv.path, "files": config.files.path, "labelled": config.labelled.path}
    if config.source == "sample":
        return SAMPLE
    return Path(files[config.source]) if config.source in files else None
