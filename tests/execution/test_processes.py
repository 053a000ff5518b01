"""Work in processes: independent of their number, ended with the one that started it, mistakes kept in words."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from MLOps.errors import UserError
from MLOps.execution.processes import in_processes

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


def tell_and_wait(folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    time.sleep(GIVE_UP_S)


def test_each_item_has_a_process_of_its_own_whatever_their_number() -> None:
    for workers in (1, 3):
        done = dict(in_processes(squared, [5, 6, 7], workers))
        assert {number: result for number, (result, _) in done.items()} == {0: 25, 1: 36, 2: 49}
        assert len({pid for _, pid in done.values()} | {os.getpid()}) == 4


@pytest.mark.parametrize(
    ("number", "kind", "told"),
    [
        (1, UserError, "^one: expected two, found one; add one$"),
        (2, RuntimeError, "a fault of the code"),
        (3, UserError, "was killed, perhaps for lack of memory"),
    ],
)
def test_a_mistake_is_told_and_ends_the_others(number: int, kind: type[Exception], told: str) -> None:
    own = psutil.Process()
    before = own.children()
    with pytest.raises(kind, match=told):
        list(in_processes(mistaken, [0, number], 2))
    assert [
        child for child in own.children() if child not in before and "spawn_main" in " ".join(child.cmdline())
    ] == []


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_processes_end_with_the_one_that_started_them(how: signal.Signals, tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from MLOps.execution.processes import in_processes; "
        "from tests.execution.test_processes import tell_and_wait; "
        f"list(in_processes(tell_and_wait, [Path({str(tmp_path)!r})] * 2, 2))"
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
