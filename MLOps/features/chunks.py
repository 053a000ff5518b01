"""Features computed chunk by chunk: memory for the features of a chunk of symbols, whatever the number of symbols."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from MLOps.artifacts import scratch_folder, table_part, whole_folder, write_table
from MLOps.data.bars import KEYS
from MLOps.execution.contract import Map, in_turn
from MLOps.features.given import GivenFeatures
from MLOps.features.pipeline import FeaturePipeline, rows_by_symbol
from MLOps.features.universe import Universe


@dataclass(frozen=True)
class _Chunk:
    """The bars of some symbols, the folder of the saved universe, and the file for their features."""

    pipeline: FeaturePipeline | GivenFeatures
    bars: pd.DataFrame
    universe: Path
    threads: int
    file: Path


@dataclass(frozen=True)
class _Chunks(Sequence[_Chunk]):
    """The chunks of `bars`, each copied when it is asked for; `firsts` and `stops` are their rows."""

    pipeline: FeaturePipeline | GivenFeatures
    bars: pd.DataFrame
    firsts: Sequence[int]
    stops: Sequence[int]
    universe: Path
    threads: int
    folder: Path

    def __len__(self) -> int:
        return len(self.firsts)

    def __getitem__(self, number: Any) -> Any:
        if number >= len(self):
            raise IndexError(number)
        # A copy, because a slice of texts takes all of them along to another process.
        bars = self.bars.take(np.arange(self.firsts[number], self.stops[number])).reset_index(drop=True)
        return _Chunk(self.pipeline, bars, self.universe, self.threads, table_part(self.folder, number))


def write_features(
    folder: Path,
    pipeline: FeaturePipeline | GivenFeatures,
    bars: pd.DataFrame,
    chunk_symbols: int,
    threads: int,
    run: Map = in_turn,
) -> None:
    """Write the features of bars in contract form for `read_features`; `folder` appears when they are complete.

    The universe is computed once, before the chunks, so `chunk_symbols` changes no value.

    Args:
        run: computes the chunks.

    Raises:
        UserError: see `FeaturePipeline.compute`.
    """
    begins = [rows[0] for rows in rows_by_symbol(bars).values()]
    firsts = begins[::chunk_symbols]
    stops = [*firsts[1:], len(bars)]
    with whole_folder(folder) as made, scratch_folder(folder) as scratch:
        universe = pipeline.universe_at(bars)
        # A feature asks the universe for the same results at every symbol, so those that one symbol needs are all.
        pipeline.compute(bars.iloc[: [*begins, len(bars)][1]], threads, universe)
        universe.save(scratch)
        del universe
        run(_write_chunk, _Chunks(pipeline, bars, firsts, stops, scratch, threads, made), "chunks of features")


def _write_chunk(chunk: _Chunk) -> None:
    universe = Universe.load(chunk.universe)
    write_table(chunk.file, chunk.pipeline.compute(chunk.bars, chunk.threads, universe), repetitive=KEYS)
