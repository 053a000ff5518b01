"""Features: rows a second and memory of the full catalogue, and FinRL's eight indicators beside FinRL's own way.

    python -m benchmarks.features --json FILE [--threads 2]
    python -m benchmarks.features --symbols 500 2000

The second form measures these sizes alone. Each size runs in a process of its own, so that its peak memory is its own:
it reads bars from a file and writes the features as the stage does, to a temporary folder (TMPDIR). Compilation is over
before the clock runs. Peers want `pip install --no-deps stockstats==0.6.10`.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from MLOps.artifacts import read_table, write_table
from MLOps.config.features import FeatureConfig
from MLOps.features.catalogue import CATALOGUE
from MLOps.features.chunks import write_features
from MLOps.features.families.technical import directional_index, relative_strength
from MLOps.features.pipeline import FeaturePipeline
from MLOps.features.talib_windows import windowed_talib

SYMBOLS = (5, 50, 500)
BARS = 2500
PEER_SYMBOLS = 30  # the Dow's, as in FinRL's examples
# FinRL's INDICATORS, in its order.
FINRL = ["macd", "boll_ub", "boll_lb", "rsi_30", "cci_30", "dx_30", "close_30_sma", "close_60_sma"]
CHUNK_SYMBOLS = FeatureConfig.chunk_symbols
NAMES = tuple(name for name, feature in CATALOGUE.items() if feature.needs != "sentiment")


def random_bars(symbols: int, bars: int = BARS) -> pd.DataFrame:
    """A random walk for each symbol, in contract form."""
    generator = np.random.default_rng(0)
    stamps = pd.bdate_range("2010-01-04", periods=bars, tz="UTC").astype("datetime64[us, UTC]")
    close = 100 * np.exp(np.cumsum(generator.normal(0, 0.01, (symbols, bars)), axis=1)).ravel()
    opened = close * np.exp(generator.normal(0, 0.003, len(close)))
    return pd.DataFrame(
        {
            "timestamp": np.tile(stamps, symbols),
            "symbol": np.repeat([f"S{number:04d}" for number in range(symbols)], bars),
            "open": opened,
            "high": np.maximum(opened, close) * np.exp(np.abs(generator.normal(0, 0.004, len(close)))),
            "low": np.minimum(opened, close) * np.exp(-np.abs(generator.normal(0, 0.004, len(close)))),
            "close": close,
            "volume": np.exp(generator.normal(14, 0.3, len(close))),
        }
    )


def write_bars(symbols: int, folder: str) -> None:
    write_table(Path(folder) / "bars.parquet", random_bars(symbols))


def catalogue_cost(symbols: int, folder: str, threads: int) -> dict[str, float]:
    """Seconds and rows a second from a table of bars on disk to one of features, and the peak memory, for the whole
    catalogue."""
    FeaturePipeline.fit(NAMES, small := random_bars(2)).compute(small)
    before_mib = peak_mib()
    begin, cpu_begin = time.perf_counter(), time.process_time()
    bars = read_table(Path(folder) / "bars.parquet")
    pipeline = FeaturePipeline.fit(NAMES, bars)
    write_features(Path(folder) / "features", pipeline, bars, CHUNK_SYMBOLS, threads)
    seconds = time.perf_counter() - begin
    return {
        f"seconds_{symbols}": seconds,
        f"cpu_seconds_{symbols}": time.process_time() - cpu_begin,
        f"rows_per_s_{symbols}": len(bars) / seconds,
        f"peak_mib_{symbols}": peak_mib(),
        f"bytes_per_row_{symbols}": (peak_mib() - before_mib) * 2**20 / len(bars),
    }


def peak_mib() -> float:
    """Of this process since its start; the kernel counts in KiB, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def eight_indicators(bars: pd.DataFrame, threads: int) -> None:
    """FinRL's eight, each on a fixed window."""

    def own(table: pd.DataFrame) -> None:
        high, low, close = (table[name].to_numpy() for name in ("high", "low", "close"))
        windowed_talib("MACD", (close,), 78, {})
        windowed_talib("BBANDS", (close,), 20, {"timeperiod": 20})
        relative_strength(close, 180, 30)
        windowed_talib("CCI", (high, low, close), 30, {"timeperiod": 30})
        directional_index(high, low, close, 180, 30)
        windowed_talib("SMA", (close,), 30, {"timeperiod": 30})
        windowed_talib("SMA", (close,), 60, {"timeperiod": 60})

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(own, [table for _, table in bars.groupby("symbol", sort=False)]))


def by_stockstats(bars: pd.DataFrame) -> None:
    """The same by stockstats, symbol after symbol."""
    from stockstats import StockDataFrame

    for _, own in bars.groupby("symbol", sort=False):
        table = StockDataFrame.retype(own.drop(columns=["timestamp", "symbol"]).copy())
        for indicator in FINRL:
            table[indicator]


def by_finrl(bars: pd.DataFrame) -> None:
    """The same as FinRL's FeatureEngineer.add_technical_indicator does it, over stockstats."""
    from stockstats import StockDataFrame

    table = bars.rename(columns={"timestamp": "date", "symbol": "tic"}).sort_values(["tic", "date"])
    stock = StockDataFrame.retype(table.copy())
    for indicator in FINRL:
        gathered = pd.DataFrame()
        for tic in stock.tic.unique():
            own = pd.DataFrame(stock[stock.tic == tic][indicator])
            own["tic"] = tic
            own["date"] = table[table.tic == tic]["date"].to_list()
            gathered = pd.concat([gathered, own], axis=0, ignore_index=True)
        table = table.merge(gathered[["tic", "date", indicator]], on=["tic", "date"], how="left")
    table.sort_values(["date", "tic"])


def rate(work: Callable[[], None], rows: int) -> float:
    """Rows a second, the best of three."""
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return rows / min(seconds)


def peers(threads: int) -> dict[str, float]:
    warnings.filterwarnings("ignore")
    bars = random_bars(PEER_SYMBOLS)
    eight_indicators(bars.head(BARS), 1)
    ours = rate(lambda: eight_indicators(bars, threads), len(bars))
    stockstats, finrl = rate(lambda: by_stockstats(bars), len(bars)), rate(lambda: by_finrl(bars), len(bars))
    return {
        "eight_rows_per_s": ours,
        "stockstats_rows_per_s": stockstats,
        "finrl_rows_per_s": finrl,
        "ratio_stockstats": ours / stockstats,
        "ratio_finrl": ours / finrl,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--symbols", type=int, nargs="+", default=SYMBOLS, help="sizes to measure, without the peers")
    arguments = parser.parse_args()
    figures: dict[str, float] = {"features": len(NAMES), "threads": arguments.threads}
    context = multiprocessing.get_context("spawn")
    for symbols in arguments.symbols:
        with tempfile.TemporaryDirectory() as folder:
            # Two processes, because the bars' making has a peak of its own.
            with context.Pool(1) as pool:
                pool.apply(write_bars, (symbols, folder))
            with context.Pool(1) as pool:
                figures |= pool.apply(catalogue_cost, (symbols, folder, arguments.threads))
    if arguments.symbols is SYMBOLS:
        # Of the peak's growth from 50 to 500 symbols, by the growth of the rows: at most 1 if memory grows no faster.
        figures["memory_growth_per_row_growth"] = figures["peak_mib_500"] / figures["peak_mib_50"] / 10
        figures |= peers(arguments.threads)
    for name, value in figures.items():
        print(f"{name:30} {value:14,.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
