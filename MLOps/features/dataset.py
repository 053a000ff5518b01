"""The feature table on disk: a folder of Parquet files, each with the features of a chunk of symbols.

One format serves five symbols and five thousand. Each file is a table like any other, with a hash of its values, and
`pandas.read_parquet` reads the folder as one table. Parquet compresses columns and cannot be mapped into memory, so
`read_features` decodes the files into a map of rows, in which a window is one piece. The map is made where it is used:
as an output it would double what is stored, pushed and pulled.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from MLOps.artifacts import read_table, table_parts
from MLOps.data.bars import KEYS
from MLOps.errors import UserError
from MLOps.memory_maps import mapped_rows


def read_features(folder: Path) -> pd.DataFrame:
    """The whole table, in the order of the bars; its float32 columns lie in a memory map, see `mapped_rows`.

    Raises:
        UserError: it is missing, unreadable, or not as it was written.
    """
    parts = table_parts(folder)
    if not parts:
        raise UserError(f"{folder}: expected a folder with features, found none; run `dvc repro`")
    keys: list[pd.DataFrame] = []
    names: list[str] = []

    def values() -> Iterator[np.ndarray]:
        for part in parts:
            table = read_table(part)
            keys.append(table[list(KEYS)])
            names[:] = table.columns[len(KEYS) :]
            yield table[names].to_numpy(np.float32)

    features = pd.DataFrame(mapped_rows(values()), columns=names, copy=False)
    return pd.concat([pd.concat(keys, ignore_index=True), features], axis=1)
