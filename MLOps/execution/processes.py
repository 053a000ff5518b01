"""Work on independent items, each in a process of its own."""

import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar

from MLOps.errors import UserError

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_processes(work: Callable[[T], R], items: Sequence[T], workers: int) -> Iterator[tuple[int, R]]:
    """Yield the number of each item and `work(item)`, in the order in which they finish.

    Every item has a new process, so its result depends neither on `workers` nor on the other items. The processes end
    with this one, however it ends, and when the iteration ends early.

    Args:
        work: a function of a module, which the processes import; items and results are pickled.
        workers: processes at once.

    Raises:
        UserError: the first that `work` raised, or a process was killed.
        RuntimeError: `work` raised another exception; the message has its trace.
    """
    context = get_context("spawn")
    waiting = deque(enumerate(items))
    running: dict[Connection, tuple[int, SpawnProcess]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                number, item = waiting.popleft()
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(target=_run, args=(work, item, sender))
                process.start()
                sender.close()
                running[receiver] = number, process
            for ready in connection.wait(list(running)):
                assert isinstance(ready, Connection)
                result = _received(ready)
                number, process = running.pop(ready)
                process.join()
                yield number, result
    finally:
        for _, process in running.values():
            process.kill()
            process.join()


def _received(receiver: Connection) -> Any:
    try:
        result, error = receiver.recv()
    except EOFError:
        raise UserError(
            "a process that computed a part was killed, perhaps for lack of memory; run again with fewer workers"
        ) from None
    if error is not None:
        raise error
    return result


def _run(work: Callable[[T], Any], item: T, sender: Connection) -> None:
    _end_with_parent()
    try:
        sender.send((work(item), None))
    except UserError as error:
        sender.send((None, error))
    except Exception:
        sender.send((None, RuntimeError(traceback.format_exc())))


def _end_with_parent() -> None:
    # Ctrl-C reaches all processes of a terminal; the parent ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Several displays would overwrite each other; with this, `rich` takes standard error for no terminal.
    os.environ["TTY_COMPATIBLE"] = "0"
    parent = parent_process()
    assert parent is not None

    def wait(sentinel: int) -> None:
        connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=wait, args=(parent.sentinel,), daemon=True).start()
