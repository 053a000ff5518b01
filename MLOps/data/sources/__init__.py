"""Data sources: one file and one function per source, each returning raw bars in contract form.

The exception is `labelled`, whose table has its own contract: features and targets instead of prices.
"""

from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from MLOps.config.data import DataConfig
from MLOps.config.schema import suggest
from MLOps.errors import UserError

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
SENTIMENT_PATH = "data.sentiment.path"


def load_bars(config: DataConfig, seed: int) -> "pd.DataFrame":
    """Raw bars of the configured source, of the symbols and days that `data.symbols`, `start` and `end` select; or the
    labelled table.

    Raises:
        UserError: the source cannot be read, its table breaks the contract, it lacks a selected symbol, or no bar lies
            in the selected days.
    """
    bars: pd.DataFrame = resolve_name(SOURCES[config.source])(config, seed)
    return bars if config.source == "labelled" else _selected(bars, config)


def _selected(bars: "pd.DataFrame", config: DataConfig) -> "pd.DataFrame":
    if config.symbols is not None:
        known = bars["symbol"].unique()
        for name in config.symbols:
            if name not in known:
                raise UserError(f"data.symbols: the source {config.source} has no {name!r}; {suggest(name, known)}")
        bars = bars[bars["symbol"].isin(config.symbols)]
    first, last = bars["timestamp"].min(), bars["timestamp"].max()
    # The contract's timestamps are in UTC, and so are the days.
    if config.start is not None:
        bars = bars[bars["timestamp"] >= config.start]
    if config.end is not None:
        bars = bars[bars["timestamp"] < config.end]
    if bars.empty:
        raise UserError(
            f"data.start, data.end: expected bars from {config.start or 'the first'} to {config.end or 'the last'}, "
            f"found bars from {first.date()} to {last.date()} only; change the days"
        )
    return bars.reset_index(drop=True)


def source_file(config: DataConfig) -> Path | None:
    """The file or folder that the configured source reads; None for a source without files."""
    files = {"csv": config.csv.path, "files": config.files.path, "labelled": config.labelled.path}
    if config.source == "sample":
        return SAMPLE
    return Path(files[config.source]) if config.source in files else None


def configured_files(config: DataConfig) -> dict[str, Path]:
    """The files and folders that the data come from, by the keys that name them."""
    files = {}
    if (file := source_file(config)) is not None:
        files["data.source" if config.source == "sample" else f"data.{config.source}.path"] = file
    if config.source == "labelled" and config.labelled.test_path is not None:
        files["data.labelled.test_path"] = Path(config.labelled.test_path)
    if config.sentiment.enabled:
        files[SENTIMENT_PATH] = Path(config.sentiment.path)
    return files


def advice_on_missing(key: str, path: Path) -> str:
    """What to do if the file `path`, named by the key `key`, is missing."""
    return "restore it with `git checkout data/sample`" if SAMPLE.parent in path.parents else f"set {key}"
