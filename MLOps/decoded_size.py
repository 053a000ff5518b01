"""Bounds on what a file decodes to: a small one of repetitions would fill the memory."""

import gzip
from pathlib import Path

from MLOps.errors import UserError

MEGABYTE = 2**20
DECODED_BYTES, DECODED_TIMES = 256 * MEGABYTE, 200  # the larger one bounds; of the file's size


def check_unpacked_size(path: Path) -> None:
    """Bound what a gzip file is unpacked to.

    Raises:
        UserError: it is more than the file's bound.
        OSError, EOFError, zlib.error: it is no gzip file.
    """
    most, unpacked = _most_bytes(path), 0
    with gzip.open(path) as file:
        while block := file.read(MEGABYTE):
            unpacked += len(block)
            if unpacked > most:
                raise _too_large(path, most, "more")


def check_decoded_size(path: Path) -> None:
    """Bound the memory that reading a Parquet file takes.

    Raises:
        UserError: its values take more than the file's bound.
        pa.ArrowException, OSError: it is no Parquet file.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    most = _most_bytes(path)
    with pq.ParquetFile(path) as file:
        columns = [file.schema.column(place) for place in range(len(file.schema))]
        # Arrow ends the process where it is asked for a damaged column of a group, so groups are asked as a whole.
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        rows = max(file.metadata.num_rows, sum(group.num_rows for group in groups))
    if any(column.max_repetition_level for column in columns):
        raise ValueError("expected one value in each cell, found lists")
    width = sum(max(8, column.length or 0) for column in columns)
    decoded = max(rows * width, sum(group.total_byte_size for group in groups))
    texts = [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
    if decoded <= most and texts:
        # Each distinct text is read once.
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            for batch in file.iter_batches(columns=texts):
                for column in batch.columns:
                    values = getattr(column, "dictionary", column)
                    if len(values) and decoded <= most:
                        decoded += len(column) * (pc.max(pc.binary_length(values)).as_py() or 0)
    if decoded > most:
        raise _too_large(path, most, f"{decoded // MEGABYTE} MB")


def _most_bytes(path: Path) -> int:
    return max(DECODED_BYTES, DECODED_TIMES * path.stat().st_size)


def _too_large(path: Path, most_bytes: int, found: str) -> UserError:
    return UserError(
        f"{path}: expected a table of at most {most_bytes // MEGABYTE} MB for a file of its size, found {found}; "
        "check where it comes from"
    )
