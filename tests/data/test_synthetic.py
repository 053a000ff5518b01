"""`data.source: synthetic`, also of many symbols."""

import tracemalloc
from dataclasses import replace

import pandas as pd

from MLOps.config.data import DataConfig
from MLOps.data.bars import check_bars
from MLOps.data.sources.synthetic import make_synthetic


def test_more_than_a_hundred_symbols_are_in_order(config: DataConfig) -> None:
    few, many = (
        make_synthetic(replace(config, synthetic=replace(config.synthetic, symbols=count, bars=60)), 7)
        for count in (100, 101)
    )
    assert few["symbol"].iloc[-1] == "SYN99"
    assert many["symbol"].iloc[-1] == "SYN100"
    prices = few.columns.drop("symbol")
    pd.testing.assert_frame_equal(many[prices].head(len(few)), few[prices], check_exact=True)


def test_checking_bars_takes_less_memory_than_they_do(config: DataConfig) -> None:
    """Of a symbol or time in each of millions of rows, an object each would be the most of it."""
    bars = make_synthetic(replace(config, synthetic=replace(config.synthetic, symbols=20, bars=1000)), 7)
    tracemalloc.start()
    check_bars(bars, "bars")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < bars.memory_usage().sum()
