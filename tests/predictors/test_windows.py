"""Windows over a feature table that lies in a file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from MLOps.artifacts import content_hash, table_part, write_table
from MLOps.features.dataset import read_features
from MLOps.features.scaler import Scaler
from MLOps.predictors import windows as module
from MLOps.predictors.windows import Windows
from tests.predictors.markets import FEATURES, NETWORKS, SmallMarket, fit, small_market


@pytest.fixture(scope="module")
def market() -> SmallMarket:
    return small_market(edge_bps=50.0, symbols=3, bars=400)


@pytest.fixture(scope="module")
def mapped(market: SmallMarket, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The same features as `read_features` gives them."""
    folder = tmp_path_factory.mktemp("features")
    for number, (_, own) in enumerate(market.features.groupby("symbol")):
        write_table(table_part(folder, number), own)
    return read_features(folder)


def test_windows_are_views_of_the_file(market: SmallMarket, mapped: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(mapped, market.features, check_exact=True)
    windows = Windows(mapped, FEATURES, 8)
    assert np.shares_memory(windows.values, Windows(mapped, FEATURES, 3).values)
    assert np.shares_memory(windows.values, mapped["volume"].to_numpy())
    rows = np.flatnonzero(windows.whole)
    expected = Windows(market.features, FEATURES, 8)
    np.testing.assert_array_equal(rows, np.flatnonzero(expected.whole))
    np.testing.assert_array_equal(windows.run_bars, expected.run_bars)
    np.testing.assert_array_equal(windows.ending_at(rows[::7]), expected.ending_at(rows[::7]))


def test_some_of_the_features_in_any_order_are_windows_too(mapped: pd.DataFrame) -> None:
    windows = Windows(mapped, FEATURES[::-1], 8)
    np.testing.assert_array_equal(windows.values, mapped[list(FEATURES[::-1])].to_numpy())


def test_blocks_of_rows_change_no_bit(market: SmallMarket, monkeypatch: pytest.MonkeyPatch) -> None:
    windows = Windows(market.features, FEATURES, 8)
    rows = np.flatnonzero(windows.whole)[10::90]
    seen = np.unique(rows[:, None] + np.arange(-7, 1))
    monkeypatch.setattr(module, "BLOCK_ROWS", 64)
    scaler, expected = windows.fit_scaler(rows), Scaler.fit(windows.values[seen])
    for part in ("median", "mean", "std"):
        np.testing.assert_array_equal(getattr(scaler, part), getattr(expected, part))
    np.testing.assert_array_equal(windows.scaled(scaler), scaler.transform(windows.values))


def test_a_network_learns_the_same_from_a_file(market: SmallMarket, mapped: pd.DataFrame, tmp_path: Path) -> None:
    quick = {**NETWORKS["lstm"], "max_epochs": 1}
    for name, given in (("one", market), ("other", replace(market, features=mapped))):
        fit(quick, given, tmp_path / "checkpoints" / name).save(tmp_path / name)
    assert content_hash(tmp_path / "one") == content_hash(tmp_path / "other")
