"""Files with one changed byte, or cut short, at random places and at those of headers and footers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

ENDS = 64  # bytes at the beginning and the end, where half of the damages are


def damaged(content: bytes, generator: np.random.Generator) -> bytes:
    """`content` with one other byte, or in one case of four without what comes after some place."""
    place = int(generator.integers(len(content)))
    if generator.random() < 0.5:
        near = int(generator.integers(min(ENDS, len(content))))
        place = near if generator.random() < 0.5 else len(content) - 1 - near
    if generator.random() < 0.25:
        return content[:place]
    changed = bytearray(content)
    # Half of the time one bit, else any other byte.
    changed[place] ^= 1 << int(generator.integers(8)) if generator.random() < 0.5 else int(generator.integers(1, 256))
    return bytes(changed)


@contextmanager
def with_damage(file: Path, generator: np.random.Generator) -> Iterator[None]:
    """`file` is damaged within the block."""
    whole = file.read_bytes()
    file.write_bytes(damaged(whole, generator))
    try:
        yield
    finally:
        file.write_bytes(whole)


def drawn(folder: Path, generator: np.random.Generator) -> Path:
    """One of the files below `folder`, the small as often as the large."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return files[int(generator.integers(len(files)))]
