"""Arrays that need not fit into memory: they lie in files, and the operating system holds as much as there is room."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

FOLDER = Path(".cache/maps")


def mapped_rows(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """The rows of all blocks, one block below the other, as one array in row-major order; at least one row.

    The array is a memory map: rows are read when they are used, and dropped when memory is short. Its file has no name
    and goes with the array, however the process ends. What is written into the array stays in memory.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows = 0
    with tempfile.TemporaryFile(dir=FOLDER) as file:
        for block in blocks:
            # Written rather than mapped, so that these pages do not belong to the process.
            file.write(np.ascontiguousarray(block).data)
            rows, dtype, shape = rows + len(block), block.dtype, block.shape[1:]
        file.flush()
        return np.asarray(np.memmap(file, dtype, "c", shape=(rows, *shape)))


def save_array(file: Path, array: np.ndarray) -> None:
    """Write a .npy file, as numpy.save does, whose error does not say what the system had against it."""
    array = np.ascontiguousarray(array)
    with file.open("wb") as opened:
        np.lib.format.write_array_header_1_0(opened, np.lib.format.header_data_from_array_1_0(array))
        opened.write(array.view(np.uint8).data)


def map_array(file: Path) -> np.ndarray:
    """The array of a .npy file as a memory map; what is written into it stays in memory."""
    return np.asarray(np.load(file, mmap_mode="c"))
