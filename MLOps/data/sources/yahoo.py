"""`data.source: yahoo`: daily bars with adjusted close, downloaded with the optional package yfinance."""

from typing import Any

import pandas as pd

from MLOps.config.data import DataConfig
from MLOps.data.bars import VALUES
from MLOps.data.sources.downloads import DOWNLOADS, extend
from MLOps.data.sources.files import bars_from_table
from MLOps.errors import UserError
from MLOps.progress import with_progress

COLUMNS = {
    "Open": "open",
    "High": "high",
    "Low": "low",
    "Close": "close",
    "Adj Close": "adj_close",
    "Volume": "volume",
}


def read_yahoo(config: DataConfig, _seed: int) -> pd.DataFrame:
    """The raw bars of `data.symbols`."""
    try:
        # An optional package, needed by this source only.
        import yfinance
    except ImportError:
        raise UserError(
            "data.source: yahoo needs the package yfinance; run `pip install -r requirements-sources.txt`"
        ) from None
    return download(config, yfinance)


def download(config: DataConfig, client: Any) -> pd.DataFrame:
    """Download the raw bars of `data.symbols` with `client`, the module yfinance."""
    assert config.symbols and config.start and config.end, "the configuration requires them of this source"
    tables = []
    for symbol in with_progress(config.symbols, "downloads from Yahoo"):
        path = DOWNLOADS / "yahoo" / f"{symbol}.parquet"

        def fetch(first: pd.Timestamp, last: pd.Timestamp, symbol: str = symbol) -> pd.DataFrame:
            days = (first.date().isoformat(), last.date().isoformat())
            answer = client.Ticker(symbol).history(start=days[0], end=days[1], auto_adjust=False, raise_errors=True)
            bars = answer.rename(columns=COLUMNS)[list(COLUMNS.values())].dropna()
            # Yahoo stamps a day at midnight in the exchange's time zone, the bars contract at midnight UTC.
            stamps = pd.DatetimeIndex(bars.index).tz_localize(None).normalize().tz_localize("UTC")
            return bars.assign(timestamp=stamps.astype("datetime64[us, UTC]")).reset_index(drop=True)

        own = extend(path, fetch, config.start, config.end)
        tables.append(own.assign(symbol=symbol)[["timestamp", "symbol", *VALUES, "adj_close"]])
    return bars_from_table(pd.concat(tables, ignore_index=True), DOWNLOADS / "yahoo", config.on_duplicate, "sort")
