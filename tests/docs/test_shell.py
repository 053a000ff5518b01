"""Every shell block of README and docs runs, as written, in a copy of a finished run."""

import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import mlflow
import pytest

from MLOps.commands.servers import free_port
from MLOps.model_registry.versions import Registry
from MLOps.operations.champions import set_champion
from tests.docs.pages import Block, blocks
from tests.project import Project, environment
from tests.servers import running

NOT_RUN = {"make test": "runs this", "pip install": "needs the network"}
ELSEWHERE = "scaling.md"  # it sets up servers and clusters, on which the tests of its sections run
SERVERS = ("make ui", "make serve", "mlflow server", "mlflow models serve")
CHANGED = 3  # status of `monitor` where it finds a change
PORTS = ("5000", "5001", "5002")


@pytest.fixture
def project(own: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A finished run on the branch main, with four versions of the model, of which three were champion."""
    own.git("branch", "--move", "main")
    (own.folder / ".venv").symlink_to(sys.prefix)
    # Make would install the packages where this is newer than .venv/.installed.
    for file in own.folder.glob("requirements*.txt"):
        os.utime(file, (0, 0))
    script = tmp_path / "bin/mlops-trading"  # an installed package has it
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m MLOps "$@"\n')
    script.chmod(0o755)
    shutil.copy(own.folder / "data/processed/bars.parquet", own.folder / "new.parquet")
    monkeypatch.chdir(own.folder)
    mlflow.set_tracking_uri(f"sqlite:///{own.folder}/mlflow.db")
    client = own.client()
    registry = Registry(client, "trading-agent")
    source = client.get_model_version("trading-agent", "1").source
    assert source is not None
    for number in (2, 3, 4):
        registry.register(source, f"copy {number}")
    for version in ("2", "1", "3"):
        set_champion(registry, version, "test", "as the blocks expect")
    return own


def lines(block: Block, ports: dict[str, str], shared: Path) -> list[str]:
    """The block's lines with ports that are free and a folder that may be written; continued lines are joined."""
    text = re.sub(r"\b500[012]\b", lambda found: ports[found[0]], block.text.replace("\\\n", " "))
    return [line for line in text.replace("/mnt/shared", str(shared)).splitlines() if line.strip()]


def starts(line: str, programs: tuple[str, ...]) -> bool:
    return re.sub(r"^([A-Z_]+=('[^']*'|\S*) +)+", "", line).startswith(programs)


def port_of(line: str, ports: dict[str, str]) -> str:
    documented = {"make ui": "5000", "make serve": "5001"}
    named = re.search(r"--port (\d+)", line)
    return named[1] if named else ports[documented[" ".join(line.split()[:2])]]


@pytest.mark.slow
@pytest.mark.parametrize("block", [block for block in blocks("bash") if block.page.name != ELSEWHERE], ids=str)
def test_a_shell_block_runs(block: Block, project: Project, tmp_path: Path) -> None:
    ports = {documented: str(free_port()) for documented in PORTS}
    variables = environment() | {
        "GIT_EDITOR": 'write() { echo "a message" > "$1"; }; write',
        "MAKEFLAGS": f"UI_PORT={ports['5000']} SERVE_PORT={ports['5001']}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    variables["PATH"] = f"{tmp_path / 'bin'}{os.pathsep}{variables['PATH']}"
    settings: list[str] = []
    with ExitStack() as servers:
        for line in lines(block, ports, tmp_path / "shared"):
            if starts(line, tuple(NOT_RUN)):
                continue
            if starts(line, ("export ", "source ", "eval ")):
                settings.append(line)
            script = "\n".join(["set -e -o pipefail", *settings, *([] if line in settings else [line])])
            if starts(line, SERVERS):
                url = f"http://127.0.0.1:{port_of(line, ports)}/health"
                servers.enter_context(running(["bash", "-c", script], url, project.folder, variables))
                continue
            done = subprocess.run(
                ["bash", "-c", script], cwd=project.folder, env=variables, capture_output=True, text=True, timeout=900
            )
            expected = {0, CHANGED} if " monitor" in line else {0}
            assert done.returncode in expected, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
