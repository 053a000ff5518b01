"""The whole pipeline has the same bytes whether its parts are computed in turn, in processes or on two hosts."""

import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.execution.clusters import ADDRESS, Cluster, require_cluster
from tests.project import SMALL, TIMEOUT_S, Project, environment

# All that is computed in parts: trials, folds, seeds, windows with searches of their own.
PARTS: dict[str, Any] = {
    **SMALL,
    "search.predictors": {
        "trials": 3,
        "batch_trials": 2,
        "spaces": {"lstm": {"hidden_size": {"low": 4, "high": 12}}},
    },
    "search.agents": {
        "trials": 2,
        "batch_trials": 2,
        "spaces": {"ppo": {"gamma": {"low": 0.9, "high": 0.99}}},
    },
    "agents.ppo.seeds": 2,
    "walk_forward.windows": 3,
}
PROCESSES = {"kind": "processes", "workers": 2}
RAY = {"kind": "ray", "address": ADDRESS}
WITHIN_S = 4 * TIMEOUT_S
STARTED_S = 120


def project(folder: Path, execution: dict[str, Any]) -> Project:
    made = Project.copy(folder)
    made.update({**PARTS, "execution": execution})
    return made


def assert_same(made: dict[str, bytes], expected: dict[str, bytes]) -> None:
    assert [name for name in expected if made.get(name) != expected[name]] == []
    assert sorted(made) == sorted(expected)


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    computed = project(tmp_path_factory.mktemp("serial"), {"kind": "serial"})
    computed.repro()
    return computed.outputs()


@pytest.mark.slow
def test_processes_do_not_show(serial: dict[str, bytes], tmp_path: Path) -> None:
    computed = project(tmp_path, PROCESSES)
    computed.repro()
    assert_same(computed.outputs(), serial)


@pytest.mark.ray
@pytest.mark.slow
def test_two_hosts_do_not_show(serial: dict[str, bytes], tmp_path: Path) -> None:
    require_cluster()
    computed = project(tmp_path, RAY)
    command = Cluster.new().beside(sys.executable, "-m", "dvc", "repro")
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=WITHIN_S)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    assert_same(computed.outputs(), serial)


@pytest.mark.ray
@pytest.mark.slow
def test_a_killed_driver_and_a_lost_host_do_not_show(serial: dict[str, bytes], tmp_path: Path) -> None:
    """The driver is killed three times; the last run ends, although it loses a host."""
    require_cluster()
    computed = project(tmp_path, RAY)
    chance, kills = random.Random(5), 3
    while True:
        cluster = Cluster.new()
        command = cluster.beside(sys.executable, "-m", "dvc", "repro")
        running = subprocess.Popen(command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + STARTED_S
        while not cluster.is_up():
            assert time.monotonic() < deadline and running.poll() is None, "the cluster did not start"
            time.sleep(0.1)
        time.sleep(chance.uniform(10, 60))
        if not kills:
            break
        kills -= 1
        running.kill()
        running.communicate()
        computed.run("MLOps", "recover")
    assert running.poll() is None, "it ended before the host was lost"
    cluster.lose_second()
    _, told = running.communicate(timeout=WITHIN_S)
    assert running.returncode == 0, told[-6000:]
    assert_same(computed.outputs(), serial)
