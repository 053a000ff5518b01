"""Servers as processes of their own, awaited until they answer and ended with their children."""

import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

START_TIMEOUT_S, END_TIMEOUT_S = 240, 60  # on a busy machine


@contextmanager
def running(
    command: Sequence[str], url: str, folder: Path, variables: dict[str, str], end: signal.Signals = signal.SIGTERM
) -> Iterator[None]:
    """The server that `command` starts in `folder`, once `url` answers; what it prints is in a file there.

    At last all processes of its session get the signal `end`.
    """
    log = folder / f"server_{urlsplit(url).port}.log"
    with started(command, lambda: answers(url), log, variables, end):
        yield


@contextmanager
def started(
    command: Sequence[str], is_up: Callable[[], bool], log: Path, variables: dict[str, str], end: signal.Signals
) -> Iterator[None]:
    """As `running`, in the folder of `log`, for a server of any protocol."""
    with log.open("wb") as file:
        server = subprocess.Popen(
            command, cwd=log.parent, env=variables, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        give_up = time.monotonic() + START_TIMEOUT_S
        while not is_up():
            assert server.poll() is None and time.monotonic() < give_up, log.read_text()[-4000:]
            time.sleep(0.2)
        yield
    finally:
        os.killpg(server.pid, end)
        server.wait(timeout=END_TIMEOUT_S)


def answers(url: str) -> bool:
    """Whether a GET succeeds."""
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False
