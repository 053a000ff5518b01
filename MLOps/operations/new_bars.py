"""Bars that came after a model was made, as the pipeline reads and settles them."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from MLOps.config.data import DOWNLOADED, DataConfig
from MLOps.data.clock import Clock
from MLOps.data.sentiment import with_sentiment
from MLOps.data.settle import settle
from MLOps.data.sources import load_bars
from MLOps.errors import UserError


def read_new_bars(config: DataConfig, seed: int, required_bars: int, file: Path | None = None) -> pd.DataFrame:
    """Bars in contract form, from the configured source or, in its place, from a file or a folder of files.

    They are not judged for quality, since a faulty feed is to be found: only what breaks the contract is refused.

    Args:
        required_bars: of a symbol; one with fewer is left out.

    Raises:
        UserError: they cannot be read, or no symbol has enough bars.
    """
    if config.source == "labelled" and file is None:
        raise UserError("data.source: a labelled table has no bars to monitor; name a file of bars with --bars")
    if file is not None:
        if not file.exists():
            raise UserError(f"--bars: expected a file or a folder of bars, found no {file}; correct the path")
        config = replace(config, source="files", files=replace(config.files, path=str(file)))
    # `data.end` is where the model's bars ended.
    tomorrow = (pd.Timestamp.now(tz="UTC") + pd.Timedelta(days=1)).date().isoformat()
    config = replace(config, end=tomorrow if config.source in DOWNLOADED else None)
    raw = load_bars(config, seed)
    where = str(file or f"data.source: {config.source}")
    bars, _ = settle(raw, config.on_missing, required_bars, where)
    if not config.sentiment.enabled:
        return bars
    return with_sentiment(bars, Clock.of(raw, config.calendar, config.bars_per_year), config.sentiment)
