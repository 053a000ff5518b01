"""Work in processes: kept for further items, ended with the one that started them, replaced if killed."""

import os
import signal
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from MLOps.errors import UserError
from MLOps.execution.processes import TRIES, Processes

GIVE_UP_S = 60


def squared(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


def mistaken(number: int) -> int:
    if number == 1:
        raise UserError("one: expected two, found one; add one")
    if number == 2:
        raise ZeroDivisionError("a fault of the code")
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(GIVE_UP_S)
    return number


def killed_once(place: Path) -> int:
    """Tell who computes, and be killed the first time."""
    tries = len(list(place.parent.glob(f"{place.name}-*")))
    (place.parent / f"{place.name}-{os.getpid()}").touch()
    if place.name == "victim" and tries == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return tries


def unpicklable(number: int) -> Any:
    return threading.Lock() if number else number


def killed_in_its_answer(place: Path) -> "Dying":
    return Dying(place)


class Dying:
    """Its process is killed while it sends this, the first time: after half of a message."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        if not self.place.exists():
            self.place.touch()
            half = struct.pack("!i", 1000) + b"half of a message"
            for number in range(3, 64):  # the pipe is one of these; nothing else may be written to
                with suppress(OSError):
                    if stat.S_ISSOCK(os.fstat(number).st_mode):
                        os.write(number, half)
            os.kill(os.getpid(), signal.SIGKILL)
        return str, ("answered",)


def printing(number: int) -> int:
    print(f"item {number}")
    return number


def tell_and_wait(folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    time.sleep(GIVE_UP_S)


@pytest.mark.parametrize("workers", [1, 3])
def test_processes_are_kept_and_their_number_does_not_show(workers: int) -> None:
    with closing(Processes(workers)) as processes:
        first, second = dict(processes.results(squared, range(9))), dict(processes.results(squared, range(9)))
    assert {number: result for number, (result, _) in first.items()} == {n: n * n for n in range(9)}
    assert {number: result for number, (result, _) in second.items()} == {n: n * n for n in range(9)}
    pids = {pid for _, pid in [*first.values(), *second.values()]}
    assert len(pids) <= workers and os.getpid() not in pids
    assert not any(psutil.pid_exists(pid) for pid in pids)


@pytest.mark.parametrize(
    ("number", "kind", "told"),
    [
        (1, UserError, "^one: expected two, found one; add one$"),
        (2, RuntimeError, "a fault of the code"),
        (3, UserError, f"was killed {TRIES} times, perhaps for lack of memory"),
    ],
)
def test_a_mistake_is_told_and_ends_the_others(number: int, kind: type[Exception], told: str) -> None:
    own = psutil.Process()
    before = own.children()
    with pytest.raises(kind, match=told), closing(Processes(2)) as processes:
        list(processes.results(mistaken, [0, number]))
    assert [
        child for child in own.children() if child not in before and "spawn_main" in " ".join(child.cmdline())
    ] == []


def test_a_killed_process_is_replaced_and_the_others_go_on(tmp_path: Path) -> None:
    with closing(Processes(2)) as processes:
        done = dict(processes.results(killed_once, [tmp_path / "victim", *(tmp_path / f"other{n}" for n in range(4))]))
    assert done == {0: 1, 1: 0, 2: 0, 3: 0, 4: 0}


def test_a_process_killed_in_its_answer_is_replaced(tmp_path: Path) -> None:
    with closing(Processes(1)) as processes:
        assert dict(processes.results(killed_in_its_answer, [tmp_path / "killed"])) == {0: "answered"}


def test_what_cannot_be_pickled_is_a_fault_of_the_code() -> None:
    with closing(Processes(1)) as processes, pytest.raises(RuntimeError, match="cannot pickle"):
        list(processes.results(unpicklable, [0, 1]))


def test_what_a_process_prints_is_printed_here(capsys: pytest.CaptureFixture[str]) -> None:
    with closing(Processes(1)) as processes:
        list(processes.results(printing, [1, 2]))
    assert capsys.readouterr().out == "item 1\nitem 2\n"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_processes_end_with_the_one_that_started_them(how: signal.Signals, tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from MLOps.execution.processes import Processes; "
        "from tests.execution.test_processes import tell_and_wait; "
        f"list(Processes(2).results(tell_and_wait, [Path({str(tmp_path)!r})] * 2))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    wait_for(lambda: len(list(tmp_path.iterdir())) == 2)
    parent.send_signal(how)
    assert parent.wait(GIVE_UP_S) != 0
    wait_for(lambda: not any(psutil.pid_exists(int(child.name)) for child in tmp_path.iterdir()))


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + GIVE_UP_S
    while not condition():
        assert time.monotonic() < end, "it never came to pass"
        time.sleep(0.05)
