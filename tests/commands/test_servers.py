"""Servers end with the command that started them, however it is ended."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from tests.project import ROOT

# One server in the background, as a candidate's, and one in the foreground; both would run for a minute.
PROGRAM = """
import signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # a test that `nohup` runs ignores it
from MLOps.commands.servers import background, ended_by_signals, run_server
server = [sys.executable, "-c", "import os, time; os.write(1, b'up' + bytes([10])); time.sleep(60)"]
with ended_by_signals(), background(server, {}):
    if sys.argv[1] == "both":
        sys.exit(run_server(server))
    import time
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["SIGTERM", "SIGHUP"])
@pytest.mark.parametrize(("running", "servers"), [("first", 1), ("both", 2)])
def test_no_server_is_left_behind(running: str, servers: int, number: signal.Signals) -> None:
    command = subprocess.Popen([sys.executable, "-c", PROGRAM, running], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert command.stdout is not None
    assert [command.stdout.readline() for _ in range(servers)] == ["up\n"] * servers
    started = psutil.Process(command.pid).children(recursive=True)
    assert len(started) == servers
    os.kill(command.pid, number)
    command.communicate(timeout=60)
    assert command.returncode == 143
    assert psutil.wait_procs(started, timeout=60)[1] == []
