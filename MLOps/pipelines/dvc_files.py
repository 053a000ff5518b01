"""Two files of DVC's that it rewrites in place: a kill at that moment leaves a part, which DVC then refuses to read."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil

from MLOps.artifacts import whole_file
from MLOps.experiment_tracking.processes import subcommand
from MLOps.pipelines import paths

LOCK = Path("dvc.lock")
TMP = Path(".dvc/tmp")
IN_USE = TMP / "rwlock"  # the paths that `dvc` commands are reading and writing, and the commands' process ids
GUARDS = (TMP / "lock", TMP / "rwlock.lock")  # that DVC holds while it writes the two


def keep_lock() -> None:
    """Copy the lock file; to be called by a stage, which DVC starts when it has read the file."""
    if LOCK.exists():
        with whole_file(paths.DVC_LOCK) as temporary:
            shutil.copyfile(LOCK, temporary)
    else:
        paths.DVC_LOCK.unlink(missing_ok=True)


def recover() -> list[str]:
    """Put back what a killed `dvc` command left half-written; nothing is changed while another is writing.

    Returns:
        A sentence for each file that was put back.
    """
    from dvc.lock import Lock, LockError  # imported here because it takes half a second

    if not TMP.exists():
        return []
    first, second = (Lock(str(guard)) for guard in GUARDS)
    try:
        with first, second:
            return [*_recover_lock(), *_recover_in_use()]
    except LockError:
        return []


def _recover_lock() -> Iterator[str]:
    if not LOCK.exists() or _is_whole(LOCK):
        return
    if paths.DVC_LOCK.exists() and _is_whole(paths.DVC_LOCK):
        with whole_file(LOCK) as temporary:
            shutil.copyfile(paths.DVC_LOCK, temporary)
        yield f"{LOCK}: half-written; put back as it was when the last command began"
    else:
        LOCK.unlink()
        yield f"{LOCK}: half-written; deleted, DVC takes finished stages from its cache"


def _is_whole(lock: Path) -> bool:
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from ruamel.yaml import YAML, YAMLError
    from voluptuous import Invalid

    try:
        text = lock.read_text(encoding="utf-8")
        COMPILED_LOCKFILE_SCHEMA(YAML(typ="safe").load(text))
    except (UnicodeDecodeError, YAMLError, Invalid):
        return False
    # Without its last digits a number is still one.
    return text.endswith("\n")


def _recover_in_use() -> Iterator[str]:
    if not IN_USE.exists():
        return
    try:
        listed = json.loads(IN_USE.read_text(encoding="utf-8"))
        readers = [one for several in listed.get("read", {}).values() for one in several]
        pids = {int(one["pid"]) for one in [*readers, *listed.get("write", {}).values()]}
    except (ValueError, AttributeError, KeyError, TypeError):
        IN_USE.unlink()
        yield f"{IN_USE}: half-written; deleted"
        return
    # DVC drops entries of dead processes itself, but waits for a process that was given the id of a dead one.
    if pids and not any(_is_dvc(pid) for pid in pids):
        IN_USE.unlink()
        yield f"{IN_USE}: of commands that were killed; deleted"


def _is_dvc(pid: int) -> bool:
    try:
        return subcommand(psutil.Process(pid)) is not None
    except psutil.Error:
        return False
