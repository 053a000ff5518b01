"""Checkpoints of a training: a killed training resumes and ends with the same result."""

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from MLOps.artifacts import whole_file

KEPT = 2  # the newest, and the previous one in case the newest is damaged


class Checkpoints:
    """The checkpoints of one training, in their own folder; each file name contains the hash of the content."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, step: int, arrays: dict[str, np.ndarray], metadata: dict[str, Any]) -> None:
        """Write a state atomically, and delete all but the newest KEPT.

        Args:
            step: increases from save to save.
            metadata: JSON-serialisable values.
        """
        content = safetensors.numpy.save(arrays, {"metadata": json.dumps(metadata)})
        with whole_file(self.folder / f"{step:012d}-{_digest(content)}.safetensors") as temporary:
            temporary.write_bytes(content)
        for old in self._files()[KEPT:]:
            old.unlink()

    def newest(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """The newest undamaged state; None if there is none. Damaged files are skipped with a warning."""
        files = self._files()
        for file in files:
            content = file.read_bytes()
            if file.stem.endswith(_digest(content)):
                try:
                    return safetensors.numpy.load(content), _metadata(content)
                except (SafetensorError, ValueError, KeyError):
                    pass
            following = "the one before is used" if file != files[-1] else "the training starts again"
            warnings.warn(f"{file}: the checkpoint is damaged; {following}", stacklevel=2)
        return None

    def _files(self) -> list[Path]:
        """Newest first."""
        return sorted(self.folder.glob("*.safetensors"), reverse=True)


def _metadata(content: bytes) -> dict[str, Any]:
    # A safetensors file begins with the length of its header, then the header as JSON.
    length = int.from_bytes(content[:8], "little")
    metadata: dict[str, Any] = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["metadata"])
    return metadata


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
