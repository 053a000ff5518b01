"""CSV files: what is no table of bars is refused in one sentence that names the file and the row."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from MLOps.data.bars import ADJUSTED_CLOSE, COLUMNS
from MLOps.data.sources.files import bars_from_file
from MLOps.data.sources.sample import bundled_bars
from MLOps.errors import UserError
from tests.project import ROOT

SAMPLE = ROOT / "data/sample/bars.csv.gz"
RAW = pd.read_csv(SAMPLE).query("symbol != 'FB'").groupby("symbol").head(100).reset_index(drop=True)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda b: b.drop(columns="close"), ["close", "missing"]),
        (lambda b: b.head(0), ["no row"]),
        (lambda b: b.assign(low=b["low"].mask(b.index == 7, -3.0)), ["low must be positive", "first row 7", "-3"]),
        (lambda b: b.assign(adj_close=b["adj_close"].mask(b.index == 9, 0.0)), ["adj_close", "positive", "row 9"]),
        (lambda b: b.iloc[::-1], ["sorted", "data.on_unsorted"]),
        (lambda b: pd.concat([b, b.tail(1)]), ["one bar a timestamp", "first row 400", "data.on_duplicate"]),
        (lambda b: b.assign(volume=b["volume"].astype(object).mask(b.index == 2, "many")), ["volume", "many"]),
        (lambda b: b.assign(high=b["high"].mask(b.index == 5)), ["high must be finite", "first row 5"]),
        (lambda b: b.assign(date="soon"), ["timestamp", "soon"]),
    ],
    ids=lambda value: value[0].replace(" ", "-") if isinstance(value, list) else None,
)
def test_rows_that_are_no_bars(tmp_path: Path, spoil: Callable[[pd.DataFrame], pd.DataFrame], words: list[str]) -> None:
    spoil(RAW).to_csv(tmp_path / "bars.csv", index=False)
    with pytest.raises(UserError) as error:
        bars_from_file(tmp_path / "bars.csv")
    sentence = str(error.value)
    assert "\n" not in sentence
    assert all(word in sentence for word in ["bars.csv", *words]), sentence


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(UserError, match=r"empty\.csv: .*empty file"):
        bars_from_file(tmp_path / "empty.csv")
    (tmp_path / "cut.csv.gz").write_bytes(SAMPLE.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"cut\.csv\.gz: not readable"):
        bars_from_file(tmp_path / "cut.csv.gz")
    with pytest.raises(UserError, match="no such file"):
        bars_from_file(tmp_path / "none.csv")


def test_disorder_is_put_right_when_asked_for(tmp_path: Path) -> None:
    RAW.to_csv(tmp_path / "good.csv", index=False)
    pd.concat([RAW.iloc[::-1], RAW.tail(1)]).to_csv(tmp_path / "bars.csv", index=False)
    pd.testing.assert_frame_equal(
        bars_from_file(tmp_path / "bars.csv", on_duplicate="keep_last", on_unsorted="sort"),
        bars_from_file(tmp_path / "good.csv"),
    )


def test_the_sample_is_adjusted_consistently() -> None:
    raw, bars = pd.read_csv(SAMPLE), bundled_bars()
    assert tuple(bars.columns) == COLUMNS
    assert bars_from_file(SAMPLE)[ADJUSTED_CLOSE].tolist() == raw["adj_close"].tolist()
    assert (bars["close"].to_numpy() == raw["adj_close"].to_numpy()).all()
    # Within a bar, ratios stay; over all, the money traded does.
    np.testing.assert_allclose(bars["open"] / bars["close"], raw["open"] / raw["close"], rtol=1e-12)
    np.testing.assert_allclose(bars["close"] * bars["volume"], raw["close"] * raw["volume"], rtol=1e-12)
    # The 2:1 split of 2005-02-28 halves the raw price of AAPL, and leaves the adjusted one alone.
    day = (bars["symbol"] == "AAPL") & (bars["timestamp"] == pd.Timestamp("2005-02-28", tz="UTC"))
    before = np.flatnonzero(day)[0] - 1
    assert raw["close"][before + 1] / raw["close"][before] < 0.6
    assert 0.95 < bars["close"][before + 1] / bars["close"][before] < 1.05
