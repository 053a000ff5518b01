"""Processes of this machine that work on independent items."""

import os
import signal
import threading
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar

from MLOps.errors import UserError

T = TypeVar("T")
R = TypeVar("R")

TRIES = 3  # of an item whose process is killed
SPAWN = get_context("spawn")  # a forked process would share the parent's connections and threads


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class _Worker:
    process: SpawnProcess
    pipe: Connection

    @classmethod
    def start(cls) -> "_Worker":
        here, there = SPAWN.Pipe()
        process = SPAWN.Process(target=_serve, args=(there,))
        process.start()
        there.close()
        return cls(process, here)

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


class Processes:
    """Up to `workers` processes. They end with `close`, and with this process, however it ends."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._idle: list[_Worker] = []

    def results(self, work: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[int, R]]:
        """Yield the number of each item and `work(item)`, in the order in which they finish.

        Items under way end when the iteration ends early. An item whose process is killed is computed again.

        Args:
            work: a function of a module, which the processes import; function, items and results are pickled.

        Raises:
            UserError: the first that `work` raised, or the process of an item was killed TRIES times.
            RuntimeError: `work` raised another exception; the message has its trace.
        """
        waiting = deque(range(len(items)))
        busy: dict[Connection, tuple[int, _Worker]] = {}
        lost: Counter[int] = Counter()
        try:
            while waiting or busy:
                # All are started before the first waits for its item to be read.
                for _ in range(min(len(waiting), self._workers - len(busy)) - len(self._idle)):
                    self._idle.append(_Worker.start())
                while waiting and len(busy) < self._workers:
                    number, worker = waiting.popleft(), self._idle.pop()
                    busy[worker.pipe] = number, worker
                    _send(worker.pipe, (work, items[number]))
                for ready in connection.wait(list(busy)):
                    assert isinstance(ready, Connection)
                    number, worker = busy[ready]
                    try:
                        result, error = ready.recv()
                    except (EOFError, ConnectionError):
                        lost[number] += 1
                        if lost[number] == TRIES:
                            raise UserError(
                                f"a process that computed a part was killed {TRIES} times, perhaps for lack of memory; "
                                "run again with fewer execution.workers"
                            ) from None
                        waiting.append(number)
                        busy.pop(ready)[1].end()
                        continue
                    if error is not None:
                        raise error
                    self._idle.append(busy.pop(ready)[1])
                    yield number, result
        finally:
            for _, worker in busy.values():
                worker.end()

    def close(self) -> None:
        for worker in self._idle:
            worker.end()
        self._idle.clear()


def _send(pipe: Connection, message: Any) -> None:
    with suppress(ConnectionError):  # the process was killed, which reading from the pipe will find
        pipe.send(message)


def _serve(pipe: Connection) -> None:
    """Compute items until this process is ended."""
    _end_with_parent()
    while True:
        work, item = pipe.recv()
        answer: tuple[Any, Exception | None]
        try:
            answer = work(item), None
        except UserError as error:
            answer = None, error
        except Exception:
            answer = None, RuntimeError(traceback.format_exc())
        pipe.send(answer)


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
