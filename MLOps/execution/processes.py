"""Processes of this machine that work on independent items."""

import os
import pickle
import signal
import threading
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar

from MLOps.errors import UserError

T = TypeVar("T")
R = TypeVar("R")

Answer = tuple[Any, Exception | None, str]  # a result, or an error in its place, and the lines that were printed

TRIES = 3  # of an item whose process is killed
FUNCTION, ITEM = b"function", b"item"  # what the next message to a process is
SPAWN = get_context("spawn")  # a forked process would share the parent's connections and threads


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class _Worker:
    """A process, the pipe to it, and the packed function that it has got."""

    process: SpawnProcess
    pipe: Connection
    knows: bytes | None = None

    @classmethod
    def start(cls) -> "_Worker":
        here, there = SPAWN.Pipe()
        process = SPAWN.Process(target=_serve, args=(there,))
        process.start()
        there.close()
        return cls(process, here)

    def send(self, work: bytes, item: Any) -> None:
        """Send an item to compute, after the packed function if that is another than the last."""
        # Not by the pickler of pipes: PyTorch lets it send a handle of shared memory, which is good for one receiver.
        packed = pickle.dumps(item)
        with suppress(OSError):  # the process was killed, which reading from the pipe will find
            if self.knows is not work:
                self.pipe.send_bytes(FUNCTION)
                self.pipe.send_bytes(work)
                self.knows = work
            self.pipe.send_bytes(ITEM)
            self.pipe.send_bytes(packed)

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
        packed = pickle.dumps(work)
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
                    worker.send(packed, items[number])
                for ready in connection.wait(list(busy)):
                    assert isinstance(ready, Connection)
                    number, worker = busy[ready]
                    try:
                        answered: Answer = ready.recv()
                    except (EOFError, OSError):
                        lost[number] += 1
                        if lost[number] == TRIES:
                            raise UserError(
                                f"a process that computed a part was killed {TRIES} times, perhaps for lack of memory; "
                                "run again with fewer execution.workers"
                            ) from None
                        waiting.append(number)
                        busy.pop(ready)[1].end()
                        continue
                    result = received(*answered)
                    self._idle.append(busy.pop(ready)[1])
                    yield number, result
        finally:
            for _, worker in busy.values():
                worker.end()

    def close(self) -> None:
        for worker in self._idle:
            worker.end()
        self._idle.clear()


def answer(compute: Callable[[], Any]) -> Answer:
    """What `compute` returns, or raises as `Processes.results` says, and the lines that it prints."""
    printed = StringIO()
    with redirect_stdout(printed):
        try:
            return compute(), None, printed.getvalue()
        except UserError as error:
            return None, error, printed.getvalue()
        except Exception:
            return None, RuntimeError(traceback.format_exc()), printed.getvalue()


def received(result: Any, error: Exception | None, printed: str) -> Any:
    """The result of an `answer`; its lines are printed here, where the stage's log has them, and its error raised."""
    print(printed, end="")
    if error is not None:
        raise error
    return result


def _serve(pipe: Connection) -> None:
    """Compute items until this process is ended."""
    _end_with_parent()
    packed: dict[bytes, bytes] = {}  # by this process's parent, and no other
    work: Callable[[Any], Any] | None = None

    def compute() -> Any:
        nonlocal work
        work = work or pickle.loads(packed[FUNCTION])  # noqa: S301
        return work(pickle.loads(packed[ITEM]))  # noqa: S301

    while True:
        kind = pipe.recv_bytes()
        packed[kind] = pipe.recv_bytes()
        if kind == FUNCTION:
            work = None
            continue
        made = answer(compute)
        # What cannot be pickled is a fault of the code, and told as such.
        try:
            told = pickle.dumps(made)
        except Exception:
            told = pickle.dumps((None, RuntimeError(traceback.format_exc()), made[2]))
        pipe.send_bytes(told)


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
