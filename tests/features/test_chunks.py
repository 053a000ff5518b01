"""Features in chunks of symbols: the same table, in a folder, whatever the chunk."""

import pickle
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.features import random_bars
from MLOps.artifacts import PARTIAL, content_hash, delete_partial, table_parts
from MLOps.config.execution import ExecutionConfig
from MLOps.errors import UserError
from MLOps.execution.executor import executor
from MLOps.features import chunks
from MLOps.features import pipeline as module
from MLOps.features.catalogue import FAMILIES
from MLOps.features.chunks import write_features
from MLOps.features.dataset import read_features
from MLOps.features.given import GivenFeatures
from MLOps.features.pipeline import FeaturePipeline
from MLOps.features.universe import Universe
from tests.project import ROOT


@pytest.fixture(scope="module")
def bars(sample: pd.DataFrame) -> pd.DataFrame:
    """Five symbols with gaps, of which one is listed late and one is outside the universe."""
    kept = np.random.default_rng(0).random(len(sample)) > 0.02
    late = (sample["symbol"] == "GOOG") & (sample["timestamp"] < sample["timestamp"].median())
    return sample[kept & ~late].groupby("symbol", sort=False).tail(400).reset_index(drop=True)


@pytest.fixture(scope="module")
def pipeline(bars: pd.DataFrame) -> FeaturePipeline:
    return FeaturePipeline.fit(FAMILIES, bars, (bars["symbol"] != "IBM").to_numpy())


@pytest.mark.parametrize("chunk_symbols", [1, 2, 64])
def test_chunks_change_no_bit(
    tmp_path: Path, bars: pd.DataFrame, pipeline: FeaturePipeline, chunk_symbols: int
) -> None:
    write_features(tmp_path / "features", pipeline, bars, chunk_symbols, 1)
    assert len(table_parts(tmp_path / "features")) == -(-bars["symbol"].nunique() // chunk_symbols)
    whole = pipeline.compute(bars)
    pd.testing.assert_frame_equal(read_features(tmp_path / "features"), whole, check_exact=True)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "features"), whole, check_exact=True)


def test_the_same_bars_give_the_same_files(tmp_path: Path, bars: pd.DataFrame, pipeline: FeaturePipeline) -> None:
    for name, threads in (("one", 1), ("two", 2)):
        write_features(tmp_path / name, pipeline, bars, 2, threads)
    with executor(ExecutionConfig(kind="processes", workers=2), threads=1) as run:
        write_features(tmp_path / "workers", pipeline, bars, 2, 1, run)
    assert len({content_hash(tmp_path / name) for name in ("one", "two", "workers")}) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two", "workers"]


def test_a_labelled_table_is_written_in_the_same_format(tmp_path: Path, bars: pd.DataFrame) -> None:
    table = bars[["timestamp", "symbol"]].assign(feature_0=bars["close"], target=0.0)
    given = GivenFeatures.fit(table)
    write_features(tmp_path / "features", given, table, 64, 1)
    pd.testing.assert_frame_equal(read_features(tmp_path / "features"), given.compute(table), check_exact=True)


def test_a_chunk_is_work_for_any_process(
    tmp_path: Path, bars: pd.DataFrame, pipeline: FeaturePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the bars of its own symbols and of no others, and arrives whole through a pickle."""
    write_features(tmp_path / "here", pipeline, bars, 1, 1)
    sizes = []

    def sent(chunk: chunks._Chunk) -> None:
        sizes.append(len(pickled := pickle.dumps(chunk)))
        own(pickle.loads(pickled))  # noqa: S301  its own

    own = chunks._write_chunk
    monkeypatch.setattr(chunks, "_write_chunk", sent)
    write_features(tmp_path / "there", pipeline, bars, 1, 1)
    assert content_hash(tmp_path / "here") == content_hash(tmp_path / "there")
    assert sum(sizes) < 2 * len(pickle.dumps(bars))


def test_memory_is_that_of_a_chunk(tmp_path: Path) -> None:
    """Of further symbols the universe is held, some numbers a bar, and not the features."""
    made = random_bars(16, 300)
    peaks = {}
    # The first time is overwritten: it imports and compiles.
    for symbols in (4, 4, 16):
        bars = made.head(300 * symbols)
        pipeline = FeaturePipeline.fit(["returns", "volatility", "volume", "calendar", "cross_asset"], bars)
        tracemalloc.start()
        write_features(tmp_path / str(symbols), pipeline, bars, 4, 1)
        peaks[symbols] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    more_rows = 300 * (16 - 4)
    assert peaks[16] - peaks[4] < 0.5 * more_rows * len(pipeline.names) * 4


KILLED = """
import os, sys
from pathlib import Path
from MLOps.data.sources.sample import bundled_bars
from MLOps.features import chunks
from MLOps.features import pipeline as module
from MLOps.features.pipeline import FeaturePipeline

bars = bundled_bars().groupby("symbol").tail(100).reset_index(drop=True)
write = chunks._write_chunk
def third(chunk):
    if chunk.file.name == "part-00002.parquet":
        os.kill(os.getpid(), 9)
    write(chunk)
chunks._write_chunk = third
chunks.write_features(Path(sys.argv[1]), FeaturePipeline.fit(["return_1", "rank_5"], bars), bars, 1, 1)
"""


def test_a_killed_process_leaves_no_half_table(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "features")], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    assert {path.name.startswith(PARTIAL) for path in tmp_path.iterdir()} == {True}
    delete_partial(tmp_path.rglob(f"{PARTIAL}*"))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match="expected a folder with features, found none; run `dvc repro`"):
        read_features(tmp_path / "features")


def test_a_failed_chunk_leaves_the_table_of_before(
    tmp_path: Path, bars: pd.DataFrame, pipeline: FeaturePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_features(tmp_path / "features", pipeline, bars, 2, 1)
    before = content_hash(tmp_path / "features")

    def fail(_: object) -> None:
        raise UserError("no room")

    monkeypatch.setattr(chunks, "_write_chunk", fail)
    with pytest.raises(UserError, match="no room"):
        write_features(tmp_path / "features", pipeline, bars, 1, 1)
    assert content_hash(tmp_path / "features") == before
    assert [path.name for path in tmp_path.iterdir()] == ["features"]


def test_a_damaged_part_is_refused(tmp_path: Path, bars: pd.DataFrame, pipeline: FeaturePipeline) -> None:
    write_features(tmp_path / "features", pipeline, bars, 2, 1)
    part = table_parts(tmp_path / "features")[1]
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    with pytest.raises(UserError, match=r"part-00001\.parquet"):
        read_features(tmp_path / "features")


def test_a_saved_universe_answers_as_the_one_that_was_computed(
    tmp_path: Path, bars: pd.DataFrame, pipeline: FeaturePipeline
) -> None:
    computed = pipeline.universe_at(bars)
    expected = pipeline.compute(bars, 1, computed)
    computed.save(tmp_path)
    saved = Universe.load(tmp_path)
    pd.testing.assert_frame_equal(pipeline.compute(bars, 1, saved), expected, check_exact=True)
    with pytest.raises(AssertionError, match="nobody asked for this result"):
        saved.breadth(3)


def test_blocks_of_rows_change_no_symbol(bars: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {symbol: np.flatnonzero(bars["symbol"] == symbol) for symbol in bars["symbol"].unique()}
    for block_rows in (1, 7, 400, 10**6):
        monkeypatch.setattr(module, "BLOCK_ROWS", block_rows)
        found = module.rows_by_symbol(bars)
        assert list(found) == list(expected)
        assert all(np.array_equal(found[symbol], expected[symbol]) for symbol in expected)
    assert module.rows_by_symbol(bars.head(0)) == {}
