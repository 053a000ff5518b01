"""A program in the foreground of a command."""

import sys
from pathlib import Path

import pytest

from MLOps.commands.processes import run


def test_the_exit_status_is_that_of_the_program() -> None:
    assert run([sys.executable, "-c", "import os, sys; sys.exit(int(os.environ['STATUS']))"], {"STATUS": "3"}) == 3


def test_an_interrupt_waits_for_the_program_and_goes_on(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    program = (
        f"import os, signal, time; os.kill(os.getppid(), signal.SIGINT); time.sleep(0.2); open({str(ended)!r}, 'w')"
    )
    with pytest.raises(KeyboardInterrupt):
        run([sys.executable, "-c", program])
    assert ended.exists()
