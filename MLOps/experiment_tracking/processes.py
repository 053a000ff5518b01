"""The process behind a run: its `dvc` command, its commit, and whether it still lives."""

import os
import platform
import re
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import psutil

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient  # it takes a second to import, and every stage imports this module first

DIRTY = "-dirty"  # suffix of the commit if the working tree differs from it
# DVC writes its lock file after each stage, and promotion its figures; neither is a change of the code.
WRITTEN = (":(exclude)dvc.lock", ":(exclude)reports")
PROCESS_TAG = "process"
WATCH_S = 0.2  # between looks at whether `dvc` still runs
DVC_STAGE = "DVC_STAGE"  # a variable that DVC sets for what it starts

Verbosity = Literal["quiet", "normal", "verbose"]


def identity(process: psutil.Process) -> str:
    """Identifies a process among all of all machines: host, id and start; an id alone is given anew to another."""
    return f"{platform.node()}/{process.pid}-{process.create_time():.2f}"


def this_process() -> str:
    return identity(psutil.Process())


def end_killed(client: "MlflowClient", experiment_id: str) -> None:
    """End as KILLED all runs of the experiment that processes of this machine left behind when they were killed."""
    for run in client.search_runs([experiment_id], "attributes.status = 'RUNNING'"):
        host, _, pid = run.data.tags.get(PROCESS_TAG, "").partition("/")
        if host == platform.node() and not _is_alive(pid):
            client.set_terminated(run.info.run_id, "KILLED")


def current_commit() -> str:
    """The checked-out commit, with DIRTY if the working tree differs from it; "unknown" outside a repository."""
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        status = ["git", "status", "--porcelain", "--", ".", *WRITTEN]
        changed = subprocess.run(status, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{head}{DIRTY}" if changed.strip() else head


def dvc_ancestor() -> psutil.Process | None:
    """The `dvc` command that started this process."""
    for process in psutil.Process().parents():
        if subcommand(process) is not None:
            return process
    return None


def end_with_dvc() -> None:
    """Let this process end when the `dvc` command above it is killed; the next one would train beside it."""
    dvc = dvc_ancestor()
    if dvc is None:
        if _is_orphan():
            os._exit(1)
        return

    def wait() -> None:
        while _runs(dvc):
            time.sleep(WATCH_S)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def subcommand(process: psutil.Process) -> str | None:
    """The subcommand of `process` if it is a dvc command, such as `dvc repro` or `python -m dvc repro`; else None."""
    try:
        words: list[Any] = process.cmdline()
    except psutil.Error:
        return None
    for i, word in enumerate(words[:4]):
        if Path(word).name == "dvc" and (i < 2 or words[i - 1] == "-m"):
            return " ".join(words[i + 1 : i + 3] if words[i + 1 : i + 2] == ["exp"] else words[i + 1 : i + 2])
    return None


def verbosity() -> Verbosity:
    """How much the `dvc` command that started this process is asked to say."""
    dvc = dvc_ancestor()
    try:
        words = [] if dvc is None else dvc.cmdline()
    except psutil.Error:
        words = []
    given = {letter for word in words if re.fullmatch(r"-[a-zA-Z]+", word) for letter in word}
    if "--quiet" in words or "q" in given:
        return "quiet"
    return "verbose" if "--verbose" in words or "v" in given else "normal"


def _is_orphan() -> bool:
    """Whether DVC started this process and was killed before the process could look for it."""
    # What DVC starts is in its session; the process that inherits orphans is in another.
    return DVC_STAGE in os.environ and os.getsid(os.getppid()) != os.getsid(0)


def _is_alive(pid_and_start: str) -> bool:
    pid = pid_and_start.partition("-")[0]
    try:
        process = psutil.Process(int(pid)) if pid.isdigit() else None
        return process is not None and identity(process).endswith(f"/{pid_and_start}") and _runs(process)
    except psutil.Error:
        return False


def _runs(process: psutil.Process) -> bool:
    try:
        # A killed process stays in the table, as a zombie, until its parent asks for it.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
