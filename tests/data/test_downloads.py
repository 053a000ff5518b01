"""Downloads ask for what is missing, try again, and never lose what was there; clients answer in recorded shapes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from MLOps.config.data import CcxtConfig, DataConfig
from MLOps.data.adjust import adjust
from MLOps.data.sources import ccxt, yahoo
from MLOps.data.sources.downloads import extend
from MLOps.errors import UserError


@pytest.fixture(autouse=True)
def in_an_empty_folder(config: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Source:
    """Daily closes from 2024-01-01 on; remembers what it was asked for, and fails as often as told."""

    def __init__(self, failures: int = 0, scale: float = 1.0) -> None:
        self.asked: list[tuple[str, str]] = []
        self.failures, self.scale = failures, scale

    def __call__(self, first: pd.Timestamp, last: pd.Timestamp) -> pd.DataFrame:
        self.asked.append((str(first.date()), str(last.date())))
        if self.failures:
            self.failures -= 1
            raise ConnectionError("reset by peer")
        stamps = pd.date_range(first, last, inclusive="left").astype("datetime64[us, UTC]")
        price = self.scale * (100.0 + np.asarray(stamps.dayofyear))
        return pd.DataFrame(
            {"timestamp": stamps, **dict.fromkeys(("open", "high", "low", "close"), price), "volume": 1.0}
        )


def test_only_missing_bars_are_asked_for(tmp_path: Path) -> None:
    path, source = tmp_path / "A.parquet", Source()
    assert len(extend(path, source, "2024-01-01", "2024-02-01")) == 31
    assert len(extend(path, source, "2024-01-01", "2024-02-01")) == 31
    assert len(extend(path, source, "2024-01-10", "2024-01-20")) == 10
    longer = extend(path, source, "2024-01-01", "2024-03-01")
    assert source.asked == [("2024-01-01", "2024-02-01"), ("2024-01-27", "2024-03-01")]
    pd.testing.assert_frame_equal(
        longer, Source()(pd.Timestamp("2024-01-01", tz="UTC"), pd.Timestamp("2024-03-01", tz="UTC"))
    )


def test_prices_that_were_adjusted_since_are_asked_for_afresh(tmp_path: Path) -> None:
    extend(tmp_path / "A.parquet", Source(), "2024-01-01", "2024-02-01")
    split = Source(scale=0.5)
    bars = extend(tmp_path / "A.parquet", split, "2024-01-01", "2024-03-01")
    assert split.asked[-1] == ("2024-01-01", "2024-03-01")
    assert bars["close"].iloc[0] == 50.5


def test_a_failure_is_tried_again_after_longer_and_longer_waits(tmp_path: Path) -> None:
    waits: list[float] = []
    assert len(extend(tmp_path / "A.parquet", Source(failures=3), "2024-01-01", "2024-01-11", waits.append)) == 10
    assert waits == [1.0, 2.0, 4.0]


def test_a_failed_download_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "A.parquet"
    extend(path, Source(), "2024-01-01", "2024-02-01")
    before = path.read_bytes()
    with pytest.raises(UserError, match="failed 5 times, last with ConnectionError: reset by peer"):
        extend(path, Source(failures=9), "2024-01-01", "2024-03-01", lambda _: None)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_no_bars_are_told(tmp_path: Path) -> None:
    def nothing(first: pd.Timestamp, last: pd.Timestamp) -> pd.DataFrame:
        return Source()(first, first)

    with pytest.raises(UserError, match="A: no bars from 2024-01-01 to 2024-02-01"):
        extend(tmp_path / "A.parquet", nothing, "2024-01-01", "2024-02-01")


def test_yahoo_in_the_shape_of_yfinance(config: DataConfig) -> None:
    asked: list[dict[str, Any]] = []

    def history(**options: Any) -> pd.DataFrame:
        asked.append(options)
        # As Ticker.history answers: the exchange's midnight, capitals, corporate actions beside the prices.
        days = pd.date_range("2024-03-07", "2024-03-13", freq="B", tz="America/New_York", name="Date")
        return pd.DataFrame(
            {
                "Open": [10.0, 11, 12, 13, 14],
                "High": [11.0, 12, 13, 14, 15],
                "Low": [9.0, 10, 11, 12, 13],
                "Close": [10.0, 11, 12, 13, 14],
                "Adj Close": [5.0, 5.5, 6, 13, 14],
                "Volume": [100, 100, 100, 50, 50],
                "Dividends": 0.0,
                "Stock Splits": 0.0,
            },
            index=days,
        )

    client = SimpleNamespace(Ticker=lambda symbol: SimpleNamespace(history=history))
    config = replace(config, symbols=("XYZ",), start="2024-03-07", end="2024-03-14")
    bars = yahoo.download(config, client)
    assert asked == [{"start": "2024-03-07", "end": "2024-03-14", "auto_adjust": False, "raise_errors": True}]
    # Summer time begins on the 10th; the days stay days.
    assert bars["timestamp"].dt.strftime("%m-%d %H:%M").tolist() == [f"03-{d:02} 00:00" for d in (7, 8, 11, 12, 13)]
    assert bars["open"].tolist() == [10.0, 11.0, 12.0, 13.0, 14.0]
    adjusted = adjust(bars)
    assert adjusted["open"].tolist() == [5.0, 5.5, 6.0, 13.0, 14.0]
    assert adjusted["volume"].tolist() == [200.0, 200.0, 200.0, 50.0, 50.0]


def exchange(now: str, pages: list[int]) -> SimpleNamespace:
    """As ccxt's exchanges answer: lists of [milliseconds, open, high, low, close, volume], at most `limit` of them."""

    def fetch_ohlcv(symbol: str, timeframe: str, since: int, limit: int) -> list[list[float]]:
        pages.append(since)
        hours = range(since // 3_600_000, since // 3_600_000 + limit)
        return [[hour * 3_600_000, 1.0, 2.0, 0.5, 1.5, 10.0] for hour in hours]

    return SimpleNamespace(
        fetch_ohlcv=fetch_ohlcv,
        parse_timeframe=lambda timeframe: 3600,
        milliseconds=lambda: int(pd.Timestamp(now, tz="UTC").timestamp() * 1000),
    )


def test_ccxt_pages_and_leaves_the_unfinished_bar_out(config: DataConfig) -> None:
    config = replace(
        config,
        ccxt=CcxtConfig(exchange="kraken", timeframe="1h"),
        symbols=("BTC/USD",),
        start="2024-01-01",
        end="2024-03-01",
    )
    pages: list[int] = []
    bars = ccxt.download(config, exchange("2024-02-01 10:30", pages))
    assert len(pages) == 2
    assert bars["timestamp"].iloc[0] == pd.Timestamp("2024-01-01", tz="UTC")
    assert bars["timestamp"].iloc[-1] == pd.Timestamp("2024-02-01 09:00", tz="UTC")
    assert bars["timestamp"].diff().iloc[1:].eq(pd.Timedelta(hours=1)).all()
    assert Path("data/downloads/ccxt/kraken/1h/BTC-USD.parquet").is_file()


@pytest.mark.parametrize(("module", "read"), [("yfinance", yahoo.read_yahoo), ("ccxt", ccxt.read_ccxt)])
def test_a_package_that_is_not_installed_is_told(
    module: str, read: Callable[[DataConfig, int], pd.DataFrame], config: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(UserError, match=r"pip install -r requirements-sources\.txt"):
        read(config, 0)
