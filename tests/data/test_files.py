"""Files of awkward shape either load right or stop with one sentence."""

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from MLOps.config.data import CsvConfig, DataConfig, FilesConfig
from MLOps.data.adjust import adjust
from MLOps.data.bars import ADJUSTED_CLOSE, check_raw_bars
from MLOps.data.sources import load_bars
from MLOps.errors import UserError

Write = Callable[[pd.DataFrame, Path], None]


def _spelt(*names: str) -> Write:
    """Written under these column names, in the order timestamp, symbol, open, high, low, close, volume."""
    return lambda bars, path: bars.set_axis(names, axis=1).to_csv(path, index=False)


def _stamped(change: Callable[[pd.Series], pd.Series], name: str = "timestamp") -> Write:
    return lambda bars, path: (
        bars.assign(timestamp=change(bars["timestamp"])).rename(columns={"timestamp": name}).to_csv(path, index=False)
    )


def _thousands(bars: pd.DataFrame, path: Path) -> None:
    bars.assign(
        volume=[f"{volume:,.0f}" for volume in bars["volume"]], close=[f"{close:,.2f}" for close in bars["close"]]
    ).to_csv(path, index=False)


def _repeated_header(bars: pd.DataFrame, path: Path) -> None:
    halves = [bars.head(25).to_csv(index=False), bars.tail(-25).to_csv(index=False)]
    path.write_text("".join(halves))


def _mixed_zones(bars: pd.DataFrame, path: Path) -> None:
    zones = ["UTC", "America/New_York", "Asia/Tokyo"]
    stamps = [stamp.tz_convert(zones[i % 3]).isoformat() for i, stamp in enumerate(bars["timestamp"])]
    bars.assign(timestamp=stamps).to_csv(path, index=False)


def _comment_above(bars: pd.DataFrame, path: Path) -> None:
    path.write_text("Times are UTC,https://www.example.org\n" + bars.to_csv(index=False))


def _trailing_separators(bars: pd.DataFrame, path: Path) -> None:
    header, *rows = bars.to_csv(index=False).splitlines()
    path.write_text("\n".join([header, *(f"{row}," for row in rows)]))


def _as_yfinance(bars: pd.DataFrame, path: Path) -> None:
    wide = bars.assign(timestamp=bars["timestamp"].dt.strftime("%Y-%m-%d")).pivot(index="timestamp", columns="symbol")
    wide.columns.names, wide.index.name = ["Price", "Ticker"], "Date"
    wide.rename(columns=str.title, level=0).to_csv(path)


AWKWARD: dict[str, Write] = {
    "as it should be": lambda bars, path: bars.to_csv(path, index=False),
    "newest first": lambda bars, path: bars.iloc[::-1].to_csv(path, index=False),
    "shuffled": lambda bars, path: bars.sample(frac=1, random_state=0).to_csv(path, index=False),
    "yahoo": _spelt("Date", "Ticker", "Open", "High", "Low", "Close", "Volume"),
    "finrl": _spelt("date", "tic", "open", "high", "low", "close", "volume"),
    "alpha vantage": _spelt("timestamp", "symbol", "1. open", "2. high", "3. low", "4. close", "5. volume"),
    "exchange dump": _spelt("Date", "Symbol", "Open", "High", "Low", "Close", "Volume USD"),
    "short": _spelt("dt", "PAIR", "o", "h", "l", "c", "v"),
    "byte order mark": lambda bars, path: bars.to_csv(path, index=False, encoding="utf-8-sig"),
    "semicolons": lambda bars, path: bars.to_csv(path, index=False, sep=";"),
    "tabs": lambda bars, path: bars.to_csv(path, index=False, sep="\t"),
    "thousands separators": _thousands,
    "repeated header": _repeated_header,
    "mixed zones": _mixed_zones,
    "a comment above the header": _comment_above,
    "separators at the ends of rows": _trailing_separators,
    "three header lines of yfinance": _as_yfinance,
    "hours of a half day": _stamped(lambda stamps: stamps.dt.strftime("%Y-%m-%d %I-%p"), "date"),
    "no zone": _stamped(lambda stamps: stamps.dt.tz_localize(None)),
    "days": _stamped(lambda stamps: stamps.dt.strftime("%Y-%m-%d")),
    "days without dashes": _stamped(lambda stamps: stamps.dt.strftime("%Y%m%d"), "Date"),
    "american dates": _stamped(lambda stamps: stamps.dt.strftime("%m/%d/%Y"), "Date"),
    "epoch seconds": _stamped(lambda stamps: stamps.map(lambda stamp: int(stamp.timestamp())), "unix"),
    "epoch milliseconds": _stamped(lambda stamps: stamps.map(lambda stamp: int(stamp.timestamp() * 1e3)), "Unix"),
    "epoch nanoseconds": _stamped(lambda stamps: stamps.map(lambda stamp: int(stamp.timestamp()) * 10**9), "ts"),
}


@pytest.mark.parametrize("shape", AWKWARD)
def test_awkward_shapes_load_right(shape: str, bars: pd.DataFrame, config: DataConfig, tmp_path: Path) -> None:
    AWKWARD[shape](bars, tmp_path / "bars.csv")
    pd.testing.assert_frame_equal(load_bars(config, 0), check_raw_bars(bars, "expected"))


@pytest.mark.parametrize("suffix", ["csv.gz", "parquet", "feather"])
@pytest.mark.parametrize("folder", [False, True])
def test_formats_and_folders(suffix: str, folder: bool, bars: pd.DataFrame, config: DataConfig, tmp_path: Path) -> None:
    writers = {"csv.gz": "to_csv", "parquet": "to_parquet", "feather": "to_feather"}
    options = {"index": False} if suffix == "csv.gz" else {}
    if folder:
        for symbol, own in bars.groupby("symbol"):
            getattr(own.drop(columns="symbol").reset_index(drop=True), writers[suffix])(
                tmp_path / f"{symbol}.{suffix}", **options
            )
        path = tmp_path
    else:
        path = tmp_path / f"bars.{suffix}"
        getattr(bars, writers[suffix])(path, **options)
    loaded = load_bars(replace(config, files=FilesConfig(path=str(path))), 0)
    pd.testing.assert_frame_equal(loaded, check_raw_bars(bars, "expected"))


def test_other_columns_are_left_out_and_named(
    bars: pd.DataFrame, config: DataConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bars.assign(vwap=1.0, trades=3).to_csv(tmp_path / "bars.csv", index=False)
    pd.testing.assert_frame_equal(load_bars(config, 0), check_raw_bars(bars, "expected"))
    assert "columns dropped: vwap, trades" in capsys.readouterr().err


def test_an_adjusted_close_adjusts_all_prices(bars: pd.DataFrame, config: DataConfig, tmp_path: Path) -> None:
    halves = np.where(bars["timestamp"] < bars["timestamp"].median(), 0.5, 1.0)
    bars.assign(**{"Adj Close": bars["close"] * halves}).to_csv(tmp_path / "bars.csv", index=False)
    loaded = load_bars(config, 0)
    assert loaded["open"].tolist() == bars["open"].tolist(), "raw bars are as they came"
    adjusted = adjust(loaded)
    np.testing.assert_allclose(adjusted["open"], bars["open"] * halves)
    np.testing.assert_allclose(adjusted["volume"], bars["volume"] / halves)


def test_codes_keep_their_leading_zeros(bars: pd.DataFrame, config: DataConfig, tmp_path: Path) -> None:
    bars.assign(symbol=bars["symbol"].map({"AAA": "000001", "BBB": "600000"})).to_csv(
        tmp_path / "bars.csv", index=False
    )
    assert set(load_bars(config, 0)["symbol"]) == {"000001", "600000"}


def test_csv_takes_order_at_its_word(bars: pd.DataFrame, config: DataConfig, tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    bars.iloc[::-1].to_csv(path, index=False)
    strict = replace(config, source="csv", csv=CsvConfig(path=str(path)), on_unsorted="error")
    with pytest.raises(UserError, match="rows must be sorted by symbol, then timestamp; 59 rows are not"):
        load_bars(strict, 0)
    pd.testing.assert_frame_equal(load_bars(replace(strict, on_unsorted="sort"), 0), check_raw_bars(bars, "expected"))


def test_duplicates_are_an_error_or_the_last_is_kept(bars: pd.DataFrame, config: DataConfig, tmp_path: Path) -> None:
    pd.concat([bars.assign(close=bars["low"]), bars]).to_csv(tmp_path / "bars.csv", index=False)
    with pytest.raises(UserError, match=r"one bar a timestamp; 60 rows are not.*data.on_duplicate"):
        load_bars(config, 0)
    loaded = load_bars(replace(config, on_duplicate="keep_last"), 0)
    pd.testing.assert_frame_equal(loaded, check_raw_bars(bars, "expected"))


BROKEN: dict[str, tuple[Callable[[pd.DataFrame, Path], object], str]] = {
    "empty file": (lambda bars, path: path.write_text(""), "found an empty file"),
    "no row": (lambda bars, path: bars.head(0).to_csv(path, index=False), "expected bars, found no row"),
    "two headers": (
        lambda bars, path: path.write_text(bars.head(0).to_csv(index=False) * 2),
        "expected bars, found no row",
    ),
    "missing column": (lambda bars, path: bars.drop(columns="low").to_csv(path, index=False), "low missing"),
    "text in a price": (
        lambda bars, path: bars.astype({"low": "str"}).replace({"low": {str(bars["low"][3]): "n.a"}}).to_csv(path),
        r"low must hold numbers; 1 cells do not, first row 3 \('n.a'\)",
    ),
    "european decimals": (
        lambda bars, path: bars.to_csv(path, index=False, sep=";", decimal=","),
        r"open must hold numbers; .* first row 0",
    ),
    "negative price": (lambda bars, path: bars.assign(low=-1.0).to_csv(path, index=False), "low must be positive"),
    "gap in a price": (
        lambda bars, path: bars.assign(low=bars["low"].where(bars.index != 7)).to_csv(path, index=False),
        "low must be finite; 1 rows are not, first row 7 .*or set data.on_empty: drop",
    ),
    "zero for a price": (
        lambda bars, path: bars.assign(low=bars["low"].where(bars.index != 7, 0.0)).to_csv(path, index=False),
        "low must be positive; 1 rows are not, first row 7 .*or set data.on_empty: drop",
    ),
    "more cells than names": (
        lambda bars, path: path.write_text(bars.to_csv(index=False).replace(",volume\n", "\n")),
        "the header names 6 columns, the rows have 7; name every column",
    ),
    "no time": (
        lambda bars, path: bars.assign(timestamp="yesterday").to_csv(path, index=False),
        r"timestamp must hold dates, times or epoch numbers; 60 cells do not, first row 0 \('yesterday'\)",
    ),
    "days first": (
        lambda bars, path: bars.assign(timestamp=bars["timestamp"].dt.strftime("%d/%m/%Y")).to_csv(path, index=False),
        "timestamp",
    ),
    "not text": (lambda bars, path: path.write_bytes(bytes(range(128, 256)) * 20), "not readable"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_cannot_be_loaded_is_told_in_a_sentence(
    fault: str, bars: pd.DataFrame, config: DataConfig, tmp_path: Path
) -> None:
    write, sentence = BROKEN[fault]
    path = tmp_path / "bars.csv"
    write(bars, path)
    with pytest.raises(UserError, match=sentence) as error:
        load_bars(config, 0)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("bars.csv.gz", gzip.compress(b"timestamp,symbol\n" * 1000, mtime=0)[:-20], "not readable"),
        ("bars.parquet", b"PAR1nothing", "not readable"),
        ("bars.feather", b"nothing at all", "not readable"),
        ("bars.xlsx", b"", "expected a name ending in"),
    ],
    ids=["gzip", "parquet", "feather", "excel"],
)
def test_broken_containers(name: str, content: bytes, sentence: str, config: DataConfig, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        load_bars(replace(config, files=FilesConfig(path=str(tmp_path / name))), 0)


def test_rows_without_a_price_are_dropped_on_demand_and_told_once(
    bars: pd.DataFrame, config: DataConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "prices"
    folder.mkdir()
    bars = bars[bars["symbol"] == "AAA"]
    spoilt = bars.copy()
    spoilt.loc[3, "open"], spoilt.loc[5, "high"] = np.nan, 0.0
    for name in ("A", "B"):
        spoilt.assign(symbol=name, vwap=1.0).to_csv(folder / f"{name}.csv", index=False)
    asked = replace(config, files=FilesConfig(path=str(folder)), on_empty="drop")
    loaded = load_bars(asked, 0)
    whole = bars.drop(index=[3, 5])
    expected = pd.concat([whole.assign(symbol=name) for name in ("A", "B")], ignore_index=True)
    pd.testing.assert_frame_equal(loaded, check_raw_bars(expected, "expected"))
    first = f"A {bars['timestamp'][3].isoformat()}"
    assert capsys.readouterr().err.splitlines() == [
        f"{folder}: columns dropped: vwap",
        f"{folder}: rows without a price dropped: 4, first {first}",
    ]


def test_averages_of_the_close_are_left_out(bars: pd.DataFrame, config: DataConfig, tmp_path: Path) -> None:
    bars.assign(close_30_sma=bars["close"]).to_csv(tmp_path / "bars.csv", index=False)
    pd.testing.assert_frame_equal(load_bars(config, 0), check_raw_bars(bars, "expected"))


def test_a_path_to_nothing(config: DataConfig, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_bars(config, 0)
    with pytest.raises(UserError, match="found none"):
        load_bars(replace(config, files=FilesConfig(path=str(tmp_path))), 0)


@pytest.mark.parametrize("name", ["NA", "NULL", "nan", "None", "N/A"])
@pytest.mark.parametrize("kind", ["csv", "parquet", "folder"])
def test_words_for_nothing_are_tickers_like_others(
    kind: str, name: str, bars: pd.DataFrame, config: DataConfig, tmp_path: Path
) -> None:
    bars = bars.replace({"symbol": {"BBB": name}})
    path = tmp_path / f"bars.{kind}"
    if kind == "folder":
        path.mkdir()
        name = name.replace("/", "-")
        for symbol, own in bars.groupby("symbol"):
            own.drop(columns="symbol").to_csv(path / f"{symbol.replace('/', '-')}.csv", index=False)
    elif kind == "csv":
        bars.to_csv(path, index=False)
    else:
        bars.to_parquet(path, index=False)
    loaded = load_bars(replace(config, files=FilesConfig(path=str(path))), 0)
    assert loaded["symbol"].value_counts().to_dict() == {"AAA": 30, name: 30}
    assert sorted(loaded["close"]) == sorted(bars["close"])


@pytest.mark.parametrize("empty", [None, "", " "])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_bar_without_a_symbol_is_refused(
    suffix: str, empty: str | None, bars: pd.DataFrame, config: DataConfig, tmp_path: Path
) -> None:
    path = tmp_path / f"bars.{suffix}"
    blank = bars.assign(symbol=bars["symbol"].where(bars.index != 7, empty))
    blank.to_csv(path, index=False) if suffix == "csv" else blank.to_parquet(path, index=False)
    with pytest.raises(UserError, match="symbol must be given; 1 rows are not"):
        load_bars(replace(config, files=FilesConfig(path=str(path))), 0)


def test_a_file_is_called_like_its_symbol_points_included(
    bars: pd.DataFrame, config: DataConfig, tmp_path: Path
) -> None:
    for name in ("BRK.A", "BRK.B"):
        bars[bars["symbol"] == "AAA"].drop(columns="symbol").to_csv(tmp_path / f"{name}.csv.gz", index=False)
    loaded = load_bars(replace(config, files=FilesConfig(path=str(tmp_path))), 0)
    assert loaded["symbol"].unique().tolist() == ["BRK.A", "BRK.B"]


ADJUSTED = ["Adj Close", "adj_close", "adjcp", "adj", "AdjClose", "adj_close_price", "closeadj", "Adjusted Close"]


@pytest.mark.parametrize("name", ADJUSTED)
def test_spellings_of_an_adjusted_close(name: str, bars: pd.DataFrame, config: DataConfig, tmp_path: Path) -> None:
    bars.assign(**{name: bars["close"] / 2}).to_csv(tmp_path / "bars.csv", index=False)
    assert load_bars(config, 0)[ADJUSTED_CLOSE].tolist() == (bars["close"] / 2).tolist()


@pytest.mark.parametrize(
    ("rename", "add", "words"),
    [
        (
            {},
            "AdjustedFinal",
            ["'AdjustedFinal' looks like adj_close", "{AdjustedFinal: adj_close}", "AdjustedFinal: null"],
        ),
        ({}, "total_return_close", ["'total_return_close' looks like adj_close"]),
        ({"close": "clsoe"}, None, ["'clsoe' looks like close", "data.files.columns: {clsoe: close}"]),
        ({"low": "day_low"}, None, ["'day_low' looks like low"]),
        ({"volume": "volumne"}, None, ["'volumne' looks like volume"]),
    ],
)
def test_a_column_that_may_be_a_price_is_not_left_out_in_silence(
    rename: dict[str, str], add: str | None, words: list[str], bars: pd.DataFrame, config: DataConfig, tmp_path: Path
) -> None:
    table = bars.rename(columns=rename)
    table = table.assign(**{add: bars["close"]}) if add else table
    table.to_csv(tmp_path / "bars.csv", index=False)
    with pytest.raises(UserError) as error:
        load_bars(config, 0)
    assert all(word in str(error.value) for word in words), error.value


def test_columns_that_are_no_prices_are_left_out(bars: pd.DataFrame, config: DataConfig, tmp_path: Path) -> None:
    others = ["Close time", "prev_close", "Weighted_Price", "Number of trades", "open_interest", "change", "closeunadj"]
    table = bars.assign(closeadj=bars["close"], **dict.fromkeys(others, 1.0))
    table.to_csv(tmp_path / "bars.csv", index=False)
    assert load_bars(config, 0)["close"].tolist() == bars["close"].tolist()
    table.drop(columns=["closeadj", "closeunadj"]).to_csv(tmp_path / "bars.csv", index=False)
    pd.testing.assert_frame_equal(load_bars(config, 0), check_raw_bars(bars, "expected"))


def test_unusual_names_are_mapped(bars: pd.DataFrame, config: DataConfig, tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    theirs = {"close": "Settle", "symbol": "contract", "volume": "Lots"}
    table = bars.replace({"symbol": {"BBB": "NA"}}).rename(columns=theirs).assign(last=1.0, adj_factor=1.0)
    table.to_csv(path, index=False)
    named = FilesConfig(
        path=str(path), columns={"Settle": "close", "contract": "symbol", "Lots": "volume", "adj_factor": None}
    )
    loaded = load_bars(replace(config, files=named), 0)
    pd.testing.assert_frame_equal(loaded, check_raw_bars(bars.replace({"symbol": {"BBB": "NA"}}), "expected"))
    with pytest.raises(UserError, match=r"data\.files\.columns: no column 'Settel'; did you mean 'Settle'"):
        load_bars(replace(config, files=FilesConfig(path=str(path), columns={"Settel": "close"})), 0)


def test_volume_is_optional_for_all_symbols_or_some(bars: pd.DataFrame, config: DataConfig, tmp_path: Path) -> None:
    bars.drop(columns="volume").to_csv(tmp_path / "bars.csv", index=False)
    assert "volume" not in load_bars(config, 0).columns
    folder = tmp_path / "folder"
    folder.mkdir()
    for symbol, own in bars.groupby("symbol"):
        own.drop(columns=["volume"] if symbol == "AAA" else []).to_csv(folder / f"{symbol}.csv", index=False)
    loaded = load_bars(replace(config, files=FilesConfig(path=str(folder))), 0)
    assert loaded.groupby("symbol")["volume"].count().to_dict() == {"AAA": 0, "BBB": 30}
    bars.assign(volume=bars["volume"].where(bars.index != 9)).to_csv(tmp_path / "bars.csv", index=False)
    with pytest.raises(UserError, match="volume must be finite; 1 rows are not, first row 9"):
        load_bars(config, 0)


@pytest.mark.slow
def test_ten_million_rows(config: DataConfig, tmp_path: Path) -> None:
    rows, symbols = 10_000_000, 1000
    stamps = pd.date_range("2020-01-01", periods=rows // symbols, freq="min").strftime("%Y-%m-%d %H:%M")
    price = np.random.default_rng(0).uniform(10, 20, rows).round(2)
    names = np.repeat([f"S{i:04d}" for i in range(symbols)], rows // symbols)
    table = pd.DataFrame(
        {"Date": np.tile(stamps, symbols), "tic": names, "o": price, "h": price, "l": price, "c": price}
    )
    table.assign(v=1.0).to_parquet(tmp_path / "bars.parquet", index=False)
    loaded = load_bars(replace(config, files=FilesConfig(path=str(tmp_path / "bars.parquet"))), 0)
    assert len(loaded) == rows
    np.testing.assert_array_equal(loaded["close"], price)
