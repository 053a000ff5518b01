"""Inputs and outcome of the last promotion: a repeat without changes is answered without MLflow, slow to import."""

from pathlib import Path

from MLOps.artifacts import read_json, value_hash, write_json
from MLOps.errors import UserError
from MLOps.experiment_tracking.address import SQLITE
from MLOps.model_registry.version_files import files_hash


def recall(memory: Path, inputs: str, store: str) -> str | None:
    """The outcome of the last promotion; None if anything may have changed since.

    Args:
        memory: the file that `remember` wrote.
        inputs: a hash of all that a promotion reads, the store excepted.
        store: its URI. Changes can be detected in a local database only.
    """
    if not store.startswith(SQLITE) or not memory.exists():
        return None
    try:
        last = read_json(memory)
        state = _state(inputs, store, [Path(folder) for folder in last["folders"]], last["outcome"])
    except (UserError, LookupError, TypeError, OSError):
        return None  # damaged or gone; the promotion is done again
    return str(last["outcome"]) if state == last["state"] else None


def remember(memory: Path, inputs: str, store: str, folders: list[Path], outcome: str) -> None:
    """Save the outcome of a promotion.

    Args:
        folders: of the registered files that it checked.
    """
    if store.startswith(SQLITE):
        state = _state(inputs, store, folders, outcome)
        write_json(memory, {"state": state, "folders": [str(folder) for folder in folders], "outcome": outcome})


def _state(inputs: str, store: str, folders: list[Path], outcome: str) -> str:
    database = Path(store.removeprefix(SQLITE)).stat()
    # A byte that changed on a disk left size and time of its file alone.
    hashes = {str(folder): files_hash(folder) for folder in folders}
    return value_hash([inputs, store, database.st_size, database.st_mtime_ns, hashes, outcome])
