"""`data.source: ccxt`: bars of a crypto exchange, downloaded with the optional package ccxt."""

from typing import Any

import pandas as pd

from MLOps.config.data import DataConfig
from MLOps.config.schema import suggest
from MLOps.data.bars import VALUES, check_raw_bars
from MLOps.data.sources.downloads import DOWNLOADS, extend
from MLOps.errors import UserError
from MLOps.progress import with_progress

PAGE_BARS = 500


def read_ccxt(config: DataConfig, _seed: int) -> pd.DataFrame:
    """The bars of `data.ccxt`."""
    try:
        # An optional package, needed by this source only.
        import ccxt
    except ImportError:
        raise UserError(
            "data.source: ccxt needs the package ccxt; run `pip install -r requirements-sources.txt`"
        ) from None
    name = config.ccxt.exchange
    if name not in ccxt.exchanges:
        raise UserError(f"data.ccxt.exchange: ccxt has no exchange {name!r}; {suggest(name, ccxt.exchanges)}")
    return download(config, getattr(ccxt, name)({"enableRateLimit": True}))


def download(config: DataConfig, exchange: Any) -> pd.DataFrame:
    """Download the bars of `data.ccxt` from `exchange`, a ccxt exchange object."""
    bar_ms = int(exchange.parse_timeframe(config.ccxt.timeframe) * 1000)
    assert config.symbols and config.start and config.end, "the configuration requires them of this source"
    tables = []
    for symbol in with_progress(config.symbols, f"downloads from {config.ccxt.exchange}"):
        folder = DOWNLOADS / "ccxt" / config.ccxt.exchange / config.ccxt.timeframe

        def fetch(first: pd.Timestamp, last: pd.Timestamp, symbol: str = symbol) -> pd.DataFrame:
            # The newest bar is left out while it is unfinished.
            end_ms = min(_ms(last), exchange.milliseconds() - bar_ms + 1)
            rows, since = [], _ms(first)
            while since < end_ms:
                page = exchange.fetch_ohlcv(symbol, config.ccxt.timeframe, since=since, limit=PAGE_BARS)
                page = [row for row in page if since <= row[0] < end_ms]
                if not page:
                    break
                rows += page
                since = page[-1][0] + bar_ms
            bars = pd.DataFrame(rows, columns=["timestamp", *VALUES])
            stamps = pd.to_datetime(bars["timestamp"].astype("int64"), unit="ms", utc=True)
            return bars.assign(timestamp=stamps.astype("datetime64[us, UTC]"))

        own = extend(folder / f"{symbol.replace('/', '-')}.parquet", fetch, config.start, config.end)
        tables.append(own.assign(symbol=symbol))
    bars = pd.concat(tables, ignore_index=True).sort_values(["symbol", "timestamp"], ignore_index=True)
    return check_raw_bars(bars, f"ccxt {config.ccxt.exchange}")


def _ms(time: pd.Timestamp) -> int:
    return int(time.timestamp() * 1000)
