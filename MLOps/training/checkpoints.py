"""Checkpoints of a training: a killed training resumes and ends with the same result."""

import hashlib
import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from MLOps.artifacts import whole_file

KEPT = 2  # the newest, and the previous one in case the newest is damaged
BLOCK_BYTES = 4 * 2**20
# What reading raises of a file that is no checkpoint, however it was made.
UNREADABLE = (SafetensorError, OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, MemoryError)


class Checkpoints:
    """The checkpoints of one training, in their own folder; each file name contains the hash of the content.

    Arrays larger than BLOCK_BYTES are cut along their first axis into blocks, each a file of its own that all
    checkpoints share. A block that has not changed since the last checkpoint is not written again, so what a growing
    replay buffer writes in total is proportional to its rows, not to rows times checkpoints.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, step: int, arrays: dict[str, np.ndarray], metadata: dict[str, Any]) -> None:
        """Write a state atomically, and delete all but the newest KEPT.

        Args:
            step: increases from save to save.
            metadata: JSON-serialisable values.
        """
        # safetensors reads memory as if it were contiguous.
        whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        small = {name: array for name, array in whole.items() if array.nbytes <= BLOCK_BYTES}
        large = {name: self._save_blocks(array) for name, array in whole.items() if name not in small}
        texts = {"metadata": json.dumps(metadata), "large": json.dumps(large)}
        content = safetensors.numpy.save(small, texts)
        with whole_file(self.folder / f"{step:012d}-{_digest(content)}.safetensors") as temporary:
            temporary.write_bytes(content)
        files = self._files()
        for old in files[KEPT:]:
            old.unlink()
        self._delete_blocks_not_in(files[:KEPT])

    def newest(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """The newest undamaged state; None if there is none. Damaged files are skipped with a warning."""
        files = self._files()
        for file in files:
            content = file.read_bytes()
            if file.stem.endswith(_digest(content)):
                try:
                    metadata, large = _texts(content)
                    arrays = safetensors.numpy.load(content)
                    return arrays | {name: self._load_blocks(**array) for name, array in large.items()}, metadata
                except UNREADABLE:
                    pass
            following = "the one before is used" if file != files[-1] else "the training starts again"
            warnings.warn(f"{file}: the checkpoint is damaged; {following}", stacklevel=2)
        return None

    def _save_blocks(self, array: np.ndarray) -> dict[str, Any]:
        """Write the blocks that are not there yet; the arguments of `_load_blocks`."""
        rows = max(1, BLOCK_BYTES // array[0].nbytes)
        digests = []
        for first in range(0, len(array), rows):
            content = array[first : first + rows].reshape(-1).view(np.uint8).data
            digests.append(_digest(content))
            if not (file := self._block(digests[-1])).exists():
                with whole_file(file) as temporary:
                    temporary.write_bytes(content)
        return {"dtype": array.dtype.str, "shape": array.shape, "digests": digests}

    def _load_blocks(self, dtype: str, shape: list[int], digests: list[str]) -> np.ndarray:
        """Raises: OSError, ValueError: a block is missing or damaged; a damaged one is deleted, to be written anew."""
        loaded = bytearray()
        for digest in digests:
            content = _regular(self._block(digest)).read_bytes()
            if _digest(content) != digest:
                self._block(digest).unlink()
                raise ValueError(digest)
            loaded += content
        return np.frombuffer(loaded, dtype).reshape(shape)

    def _delete_blocks_not_in(self, files: list[Path]) -> None:
        used: set[str] = set()
        for file in files:
            try:
                _, large = _texts(file.read_bytes())
                used |= {digest for array in large.values() for digest in array["digests"]}
            except UNREADABLE:
                continue  # damaged, so nothing can be loaded from it
        for block in self.folder.glob("*.block"):
            if block.stem not in used:
                block.unlink()

    def _block(self, digest: str) -> Path:
        """Raises ValueError for what is no digest, and might lead out of the folder."""
        if not re.fullmatch(r"[0-9a-f]{16}", digest):
            raise ValueError(digest)
        return self.folder / f"{digest}.block"

    def _files(self) -> list[Path]:
        """Newest first."""
        return sorted((path for path in self.folder.glob("*.safetensors") if path.is_file()), reverse=True)


def _regular(path: Path) -> Path:
    """Raises OSError for a pipe, which would be read without end."""
    if not path.is_file():
        raise FileNotFoundError(path)
    return path


def _texts(content: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """The metadata and the description of the large arrays."""
    # A safetensors file begins with the length of its header, then the header as JSON.
    length = int.from_bytes(content[:8], "little")
    texts = json.loads(content[8 : 8 + length])["__metadata__"]
    return json.loads(texts["metadata"]), json.loads(texts["large"])


def _digest(content: bytes | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
