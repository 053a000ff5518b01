"""Tables of returns against definitions written out, on daily, hourly and five-minute bars."""

import numpy as np
import pandas as pd
import pytest

from MLOps.reporting.return_tables import (
    drawdown,
    monthly_returns,
    rolling_bars,
    rolling_sharpe,
    worst_drawdowns,
)
from MLOps.statistics.returns import max_drawdown, sharpe


def series(frequency: str, count: int, seed: int = 0) -> pd.Series:
    index = pd.date_range("2021-11-15", periods=count, freq=frequency, tz="UTC")
    return pd.Series(np.random.default_rng(seed).normal(0.0005, 0.01, count), index)


@pytest.mark.parametrize(("frequency", "count"), [("B", 500), ("h", 3000), ("5min", 2000), ("B", 3)])
def test_months_and_years_compound_to_the_whole(frequency: str, count: int) -> None:
    returns = series(frequency, count)
    table = monthly_returns(returns)
    whole = (1 + returns).prod()
    assert list(table.columns) == [*range(1, 13), "year"]
    assert (1 + table["year"]).prod() == pytest.approx(whole)
    assert np.nanprod(1 + table[list(range(1, 13))].to_numpy()) == pytest.approx(whole)


def test_drawdowns_are_apart_and_the_deepest_is_the_largest() -> None:
    returns = series("B", 800)
    table = worst_drawdowns(returns, count=1000)
    equity = np.concatenate([[1.0], (1 + returns).cumprod()])
    assert -table["depth"].iloc[0] == pytest.approx(max_drawdown(equity))
    assert table["bars"].sum() == (drawdown(returns) < 0).sum()
    for row in table.itertuples():
        assert drawdown(returns)[row.deepest] == row.depth
        assert pd.isna(row.recovered) or drawdown(returns)[row.recovered] == 0
    assert worst_drawdowns(returns.abs()).empty


def test_a_first_loss_is_a_drawdown() -> None:
    returns = pd.Series([-0.1, 0.0], pd.date_range("2024-01-01", periods=2, tz="UTC"))
    assert drawdown(returns).tolist() == pytest.approx([-0.1, -0.1])


def test_the_rolling_ratio_ends_with_that_of_the_last_window() -> None:
    returns = series("B", 400)
    window = rolling_bars(len(returns), 252)
    assert window == 100
    rolling = rolling_sharpe(returns, window, 252)
    assert rolling.iloc[-1] == pytest.approx(sharpe(returns.to_numpy()[-window:], 252))
    assert rolling.isna().sum() == window - 1
    assert (rolling_sharpe(returns * 0, window, 252).dropna() == 0).all()
