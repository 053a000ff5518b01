"""Write files and folders atomically, with bytes that depend on their content alone; read and hash them."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from MLOps.errors import UserError

# Imported lazily, so that stages without tables and arrays do not load these libraries.
if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# Temporary files and folders that a killed process may leave; ignored by DVC (.dvcignore) and the hashes below.
# The id of the process follows.
PARTIAL = ".partial-"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path in the folder of `path` that replaces it if the block succeeds, and is deleted if it fails.

    Raises:
        UserError: the folder of `path` is not writable.
    """
    with _writable(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=_prefix())
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Like `whole_file`, for a folder; an existing `path` is replaced."""
    with _writable(path):
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=_prefix()))
    try:
        yield temporary
        temporary.chmod(0o755)
        if path.exists():
            # Rename the old folder first, so that `path` is never partial.
            aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=_prefix()))
            path.replace(aside / path.name)
            temporary.replace(path)
            shutil.rmtree(aside)
        else:
            temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def delete_partial(found: Iterable[Path]) -> None:
    """Delete those of the files and folders `found`, named PARTIAL…, whose processes were killed."""
    for left in list(found):
        pid = left.name.removeprefix(PARTIAL).partition("-")[0]
        if pid.isdigit() and psutil.pid_exists(int(pid)):
            continue
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _prefix() -> str:
    return f"{PARTIAL}{os.getpid()}-"


def write_text(path: Path, text: str) -> None:
    """Write `text` in UTF-8."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, values: Any) -> None:
    """Write `values` with sorted keys; raises ValueError for NaN and infinity, which JSON does not have."""
    write_text(path, json.dumps(values, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The values in the JSON file at `path`; raises UserError if it is missing or unreadable."""
    try:
        return json.loads(_existing(path).read_text())
    except ValueError as error:
        raise UserError(f"{path}: not readable as JSON: {error}; remake it with `dvc repro`") from None


def write_table(path: Path, table: "pd.DataFrame") -> None:
    """Write a Parquet file without the table's index."""
    with whole_file(path) as temporary:
        table.to_parquet(temporary, index=False)


def read_table(path: Path) -> "pd.DataFrame":
    """The table in the Parquet file at `path`; raises UserError if it is missing or unreadable."""
    import pandas as pd

    try:
        return pd.read_parquet(_existing(path))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as Parquet: {error}; remake it with `dvc repro`") from None


def write_arrays(path: Path, arrays: "dict[str, np.ndarray]") -> None:
    """Write named arrays as safetensors: pure data, the same bytes for the same arrays."""
    import numpy as np
    from safetensors.numpy import save_file

    with whole_file(path) as temporary:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary)


def read_arrays(path: Path) -> "dict[str, np.ndarray]":
    """The arrays in the safetensors file at `path`."""
    from safetensors.numpy import load_file

    return load_file(_existing(path))


def content_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, or of a folder's relative file names and bytes in order of name.

    Raises:
        UserError: `path` does not exist.
    """
    digest = hashlib.sha256()
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            name = file.relative_to(path)
            if not any(part.startswith(PARTIAL) for part in name.parts):
                digest.update(f"{name.as_posix()}\0{content_hash(file)}\n".encode())
    else:
        digest.update(_existing(path).read_bytes())
    return digest.hexdigest()


def value_hash(values: Any) -> str:
    """SHA-256 of `values` as canonical JSON."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    """Create the folder of `path`, and convert an OSError in the block to a UserError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        reason = f"{error.strerror}; check {path.parent} and its permissions"
        raise UserError(f"{path}: cannot be written: {reason}") from None


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise UserError(f"{path}: no such file; an earlier stage writes it: run `dvc repro`")
    return path
