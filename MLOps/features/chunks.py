"""Features computed chunk by chunk: memory for the features of a chunk of symbols, whatever the number of symbols."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from MLOps.artifacts import scratch_folder, table_part, whole_folder, write_table
from MLOps.data.bars import KEYS
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


def write_features(
    folder: Path, pipeline: FeaturePipeline | GivenFeatures, bars: pd.DataFrame, chunk_symbols: int, threads: int
) -> None:
    """Write the features of bars in contract form for `read_features`; `folder` appears when they are complete.

    The universe is computed once, before the chunks, so `chunk_symbols` changes no value.

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

        def chunks() -> Iterator[_Chunk]:
            for number, (first, stop) in enumerate(zip(firsts, stops, strict=True)):
                # A copy, because a slice of texts takes all of them along to another process.
                own = bars.take(np.arange(first, stop)).reset_index(drop=True)
                yield _Chunk(pipeline, own, scratch, threads, table_part(made, number))

        for _ in map(_write_chunk, chunks()):
            pass


def _write_chunk(chunk: _Chunk) -> None:
    universe = Universe.load(chunk.universe)
    write_table(chunk.file, chunk.pipeline.compute(chunk.bars, chunk.threads, universe), repetitive=KEYS)
