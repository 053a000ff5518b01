"""A real `mlflow models serve` under spoilt requests, load and slow clients."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from MLOps.model_registry.versions import CANDIDATE
from tests.agents.trainings import RULES
from tests.deployment.bundles import agent, stored
from tests.deployment.fuzz import faults, spoilt
from tests.deployment.server import served
from tests.deployment.test_requests import body_of, newest

CLIENTS = 8
LOAD_S = 60
MEGABYTE = 2**20

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Running:
    """A server, and a good request to it."""

    host: str
    port: int
    good: dict[str, Any]
    identity: str

    def post(self, body: bytes, content_type: str = "application/json") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            connection.request("POST", "/invocations", body, {"Content-Type": content_type} if content_type else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def memory_mb(self) -> float:
        """Of the process that listens; MLflow starts it as a child of its own."""
        listening = next(
            found.pid
            for found in psutil.net_connections("tcp")
            if found.status == "LISTEN" and found.laddr == (self.host, self.port)
        )
        return float(psutil.Process(listening).memory_info().rss / MEGABYTE)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The candidate of a store of its own, which has a version of a small agent."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        (model,) = stored(folder, patch, {CANDIDATE: agent("ppo", RULES["weights"])})
        (folder / "elsewhere").mkdir()
        with served(folder / "mlflow.db", folder / "elsewhere") as url:
            good = body_of(newest(model), {"cash_per_symbol": 1e5, "positions": '{"S00": 3}'})
            at = urlsplit(url)
            assert at.hostname and at.port
            yield Running(at.hostname, at.port, good, model.identity)


def test_health_names_the_version_and_the_bundle(running: Running) -> None:
    connection = http.client.HTTPConnection(running.host, running.port, timeout=60)
    connection.request("GET", "/health")
    said = json.loads(connection.getresponse().read())
    assert (said["model"], said["version"], said["bundle"]) == ("trading-agent", "1", running.identity)


def test_ten_thousand_spoilt_requests(running: Running) -> None:
    before = running.memory_mb()
    requests = list(spoilt(running.good, 10_000, seed=2))
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(lambda request: running.post(request[1], request[0]), requests))
    found = [fault for status, answer in answers for fault in faults(status, answer)]
    assert found == []
    assert len(answers) == 10_000
    assert running.post(json.dumps(running.good).encode())[0] == 200
    assert running.memory_mb() < before + 300


def test_a_minute_at_eight_clients(running: Running) -> None:
    body = json.dumps(running.good).encode()
    expected = running.post(body)
    assert expected[0] == 200
    end, memory = time.monotonic() + LOAD_S, []

    def ask() -> tuple[int, int]:
        asked = wrong = 0
        while time.monotonic() < end:
            asked, wrong = asked + 1, wrong + (running.post(body) != expected)
        return asked, wrong

    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(ask) for _ in range(CLIENTS)]
        while time.monotonic() < end:
            time.sleep(2)
            memory.append(running.memory_mb())
    counts = [client.result() for client in clients]
    assert sum(wrong for _, wrong in counts) == 0
    assert sum(asked for asked, _ in counts) > 100
    # Flat: the second half minute adds no more than the allocator's noise to the first.
    half = len(memory) // 2
    assert max(memory[half:]) < max(memory[:half]) + 20, memory


def test_slow_clients_stop_nobody(running: Running) -> None:
    """Two hundred clients that announce a body and send a byte now and then."""
    slow = [socket.create_connection((running.host, running.port)) for _ in range(200)]
    try:
        for one in slow:
            one.sendall(b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
            one.sendall(b"Content-Length: 1000000\r\n\r\n[")
        body = json.dumps(running.good).encode()
        for _ in range(20):
            assert running.post(body)[0] == 200
            for one in slow:
                one.sendall(b" ")
    finally:
        for one in slow:
            one.close()
    assert running.post(json.dumps(running.good).encode())[0] == 200
