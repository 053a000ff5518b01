"""Faults of the machine and of the store, told apart from defects by the exceptions that libraries raise."""

import errno
from collections.abc import Iterator

from MLOps.errors import one_line

# The file system refuses to write.
ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
# The same in the words of libraries that have exceptions of their own: SQLite, Arrow, safetensors.
OF_THE_DISK = (
    "No space left on device",
    "Disk quota exceeded",
    "File too large",
    "Input/output error",
    "Read-only file system",
    "disk is full",
    "disk I/O error",
)
OF_THE_STORE = ("database is locked", "Max retries exceeded", "Connection refused", "too many 50", "Read timed out")
STORES = ("mlflow", "sqlalchemy", "sqlite3", "requests", "urllib3")  # the libraries that speak with it


def fault(error: BaseException, then: str = "`dvc repro` continues") -> str | None:
    """A sentence on the fault that caused `error`, and on what to do `then`; None if none did."""
    for cause in _chain(error):
        if isinstance(cause, OSError) and cause.errno in ERRNOS:
            said = f"{cause.filename}: {cause.strerror}" if cause.filename else str(cause.strerror)
            return _of_the_disk(said, then)
        # Around these words libraries print their statements and frames.
        for words in OF_THE_DISK:
            if words in str(cause):
                return _of_the_disk(words, then)
        for words in OF_THE_STORE if type(cause).__module__.split(".")[0] in STORES else ():
            if words in str(cause):
                return f"the tracking store does not answer: {one_line(cause)}; once it does, {then}"
    return None


def _of_the_disk(said: str, then: str) -> str:
    return f"a file could not be written: {said}; free space or mend the disk, then {then}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """`error` and what it was raised from or after."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        # What was handled, or replaced on purpose, did not cause the error.
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
