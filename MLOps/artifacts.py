"""Write files and folders atomically, with bytes that depend on their content alone; read and hash them."""

import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from MLOps.decoded_size import MEGABYTE, check_decoded_size
from MLOps.errors import UserError, one_line

# Imported lazily, so that stages without tables and arrays do not load these libraries.
if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# Temporary files and folders that a killed process may leave; ignored by DVC (.dvcignore) and the hashes below.
# The id of the process follows.
PARTIAL = ".partial-"
MOST_JSON_BYTES = 64 * MEGABYTE  # of a file; its values take about 20 times as much memory
TABLE_DIGEST = b"content_sha256"  # the key of a table's hash in the metadata of its Parquet file
HASHED_ROWS = 2**18  # at once
MOST_DEPTH = 20  # folders within each other


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


@contextmanager
def scratch_folder(beside: Path) -> Iterator[Path]:
    """A temporary folder in the folder of `beside`, deleted after the block.

    Raises:
        UserError: the folder of `beside` is not writable.
    """
    with _writable(beside):
        temporary = Path(tempfile.mkdtemp(dir=beside.parent, prefix=_prefix()))
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def delete_partial(found: Iterable[Path]) -> None:
    """Delete those of the files and folders `found`, named PARTIAL…, whose processes were killed."""
    import psutil

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
    """The values in the JSON file at `path`.

    Raises:
        UserError: it is missing or too large, or no JSON as `write_json` writes it, with NaN or repeated keys, say.
    """
    size = _existing(path).stat().st_size
    if size > MOST_JSON_BYTES:
        raise UserError(f"{path}: expected JSON of at most {MOST_JSON_BYTES // MEGABYTE} MB, found {size // MEGABYTE}")
    try:
        return json.loads(
            path.read_text(encoding="utf-8"), parse_constant=_no_number, object_pairs_hook=_without_repeats
        )
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not readable as JSON: {one_line(error)}; remake it with `dvc repro`") from None


def _no_number(name: str) -> None:
    raise ValueError(f"found {name}, which JSON does not have")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key occurs twice")
    return values


def write_table(path: Path, table: "pd.DataFrame", repetitive: Sequence[str] | None = None) -> None:
    """Write a Parquet file without the table's index, and with a hash of what a reader gets.

    Args:
        repetitive: columns whose distinct values are worth numbering, which takes ten times as long as writing them;
            None tries all columns.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = pa.Table.from_pandas(table, preserve_index=False)
    with whole_file(path) as temporary:
        # Parquet does not have all types, seconds for example, so the hash is of what is read.
        encoded = True if repetitive is None else list(repetitive)
        pq.write_table(made, temporary, use_dictionary=encoded)
        digest = _table_digest(pd.read_parquet(temporary))
        signed = made.replace_schema_metadata({**made.schema.metadata, TABLE_DIGEST: digest})
        pq.write_table(signed, temporary, use_dictionary=encoded)


def read_table(path: Path) -> "pd.DataFrame":
    """The table in the Parquet file at `path`.

    Raises:
        UserError: it is missing, unreadable, not as it was written, or a small file that decodes to a huge table.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        check_decoded_size(_existing(path))
        table, digest = pd.read_parquet(path), (pq.read_schema(path).metadata or {}).get(TABLE_DIGEST)
    except (OSError, ValueError, TypeError, KeyError, OverflowError, pa.ArrowException) as error:
        raise UserError(f"{path}: not readable as Parquet: {one_line(error)}; remake it with `dvc repro`") from None
    if digest is not None and digest != _table_digest(table):
        raise UserError(f"{path}: its values are not those that were written; remake it with `dvc repro`")
    return table


def _table_digest(table: "pd.DataFrame") -> bytes:
    """SHA-256 of names, types and values."""
    import pandas as pd

    digest = hashlib.sha256(json.dumps([[str(name), str(kind)] for name, kind in table.dtypes.items()]).encode())
    # In parts, because pandas makes a Python object of each text.
    for first in range(0, len(table), HASHED_ROWS):
        rows = table.iloc[first : first + HASHED_ROWS]
        digest.update(pd.util.hash_pandas_object(rows, index=False, categorize=False).to_numpy().tobytes())
    return digest.hexdigest().encode()


def table_part(folder: Path, number: int) -> Path:
    """The file of one of the parts of a table that is too large for one; parts are in the order of their numbers."""
    return folder / f"part-{number:05d}.parquet"


def table_parts(folder: Path) -> list[Path]:
    """The files of all parts of a table, in order; none if `folder` is no such table."""
    return sorted(folder.glob("part-*.parquet"))


def write_arrays(path: Path, arrays: "dict[str, np.ndarray]") -> None:
    """Write named arrays as safetensors: pure data, the same bytes for the same arrays."""
    import numpy as np
    from safetensors.numpy import save_file

    with whole_file(path) as temporary:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary)


def read_arrays(path: Path) -> "dict[str, np.ndarray]":
    """The arrays in the safetensors file at `path`; raises UserError if it is missing or unreadable."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(_existing(path))
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise UserError(f"{path}: not readable as safetensors: {one_line(error)}; remake it with `dvc repro`") from None


def content_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, or of a folder's relative file names and bytes in order of name.

    Raises:
        UserError: `path` does not exist.
    """
    if not path.is_dir():
        with _existing(path).open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        name = file.relative_to(path)
        if not any(part.startswith(PARTIAL) for part in name.parts):
            digest.update(f"{name.as_posix()}\0{content_hash(file)}\n".encode())
    return digest.hexdigest()


def regular_files(folder: Path) -> dict[str, Path]:
    """All files below `folder`, by their relative names, in order.

    Raises:
        UserError: there is something else than files and folders, which would be read from elsewhere, or without end;
            or folders lie deep within each other.
    """
    found: dict[str, Path] = {}
    folders = [folder]
    while folders:
        for path in folders.pop().iterdir():
            kind = path.lstat().st_mode
            if stat.S_ISDIR(kind):
                if len(path.relative_to(folder).parts) > MOST_DEPTH:
                    raise UserError(f"{folder}: expected at most {MOST_DEPTH} folders within each other, found more")
                folders.append(path)
            elif stat.S_ISREG(kind):
                found[path.relative_to(folder).as_posix()] = path
            else:
                what = "a link" if stat.S_ISLNK(kind) else "a pipe, socket or device"
                raise UserError(f"{path}: expected files and folders, found {what}; take it out")
    return dict(sorted(found.items()))


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
