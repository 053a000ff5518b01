"""The candidate beside the champion: who answers whom, and that the champion never waits for it."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from MLOps.config.serving import CANDIDATE_ADDRESS, SETTINGS, ServingConfig
from MLOps.deployment.candidate import AT_ONCE, is_in_share
from MLOps.deployment.server import Server, server_of
from MLOps.deployment.trading_model import TradingModel
from MLOps.errors import UserError
from tests.deployment.test_requests import body_of, call, newest

# One in the candidate's share of a half, and one that is not.
THEIRS = next(f"a{n}" for n in range(99) if is_in_share(f"a{n}", 0.5))
OURS = next(f"a{n}" for n in range(99) if not is_in_share(f"a{n}", 0.5))


class Stub(ThreadingHTTPServer):
    """A candidate's server that answers what it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[bytes] = []
        self.status, self.answer, self.wait = 200, b'{"predictions": [], "not_decided": {"by": "candidate"}}', 0.0
        self.released = threading.Event()
        self.address = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Stub

    def do_POST(self) -> None:
        self.server.asked.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.released.wait(self.server.wait)
        self._send()

    def do_GET(self) -> None:
        self._send()

    def _send(self) -> None:
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(self.server.answer)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def stub() -> Iterator[Stub]:
    server = Stub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.released.set()
    server.shutdown()


def front(model: TradingModel, address: str, tmp_path: Path, **config: Any) -> Server:
    settings = {"candidate_share": 0.5, **config}
    return server_of(model, tmp_path, {SETTINGS: json.dumps(settings), CANDIDATE_ADDRESS: address})


def ask(server: Server, model: TradingModel, account: str | None) -> tuple[int, Any]:
    params = {} if account is None else {"account": account}
    status, answer = asyncio.run(call(server, json.dumps(body_of(newest(model), params)).encode()))
    return status, json.loads(answer)


def test_an_account_stays_on_its_side_and_the_share_is_kept() -> None:
    accounts = [f"account {n}" for n in range(10_000)]
    for share in (0.05, 0.3):
        chosen = {name for name in accounts if is_in_share(name, share)}
        assert abs(len(chosen) / len(accounts) - share) < 0.02
        assert chosen == {name for name in accounts if is_in_share(name, share)}
    # A larger share takes nobody away from the candidate.
    assert {n for n in accounts if is_in_share(n, 0.05)} < {n for n in accounts if is_in_share(n, 0.3)}
    assert not is_in_share(None, 0.99)


def test_split_asks_the_candidate_for_its_accounts_alone(model: TradingModel, stub: Stub, tmp_path: Path) -> None:
    server = front(model, stub.address, tmp_path, policy="split")
    assert ask(server, model, THEIRS) == (200, json.loads(stub.answer))
    own = ask(server, model, OURS)
    assert own[1]["predictions"][0]["bundle"] == model.identity
    assert ask(server, model, None)[1]["predictions"] == own[1]["predictions"]
    assert len(stub.asked) == 1


def test_a_refusal_of_the_candidate_is_passed_on(model: TradingModel, stub: Stub, tmp_path: Path) -> None:
    stub.status, stub.answer = 400, b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "the bars are wrong"}'
    assert ask(front(model, stub.address, tmp_path, policy="split"), model, THEIRS) == (400, json.loads(stub.answer))


@pytest.mark.parametrize("fault", ["500", "429", "gone"])
def test_the_champion_answers_where_the_candidate_does_not(
    model: TradingModel, stub: Stub, tmp_path: Path, fault: str
) -> None:
    server = front(model, "http://127.0.0.1:9" if fault == "gone" else stub.address, tmp_path, policy="split")
    stub.status = int(fault) if fault != "gone" else 200
    status, answer = ask(server, model, THEIRS)
    assert status == 200
    assert answer["predictions"][0]["bundle"] == model.identity


def test_shadow_copies_every_request_and_changes_no_answer(model: TradingModel, stub: Stub, tmp_path: Path) -> None:
    server = front(model, stub.address, tmp_path, policy="shadow", record={"folder": str(tmp_path)})
    alone = ask(server_of(model, tmp_path, {}), model, THEIRS)
    assert ask(server, model, THEIRS) == alone
    give_up = time.monotonic() + 10
    while not stub.asked and time.monotonic() < give_up:
        time.sleep(0.01)
    assert json.loads(stub.asked[0]) == body_of(newest(model), {"account": THEIRS})


def test_a_candidate_that_hangs_delays_nobody(model: TradingModel, stub: Stub, tmp_path: Path) -> None:
    stub.wait = 60.0
    server = front(model, stub.address, tmp_path, policy="shadow", record={"folder": str(tmp_path)})
    body = json.dumps(body_of(newest(model))).encode()

    async def many() -> list[int]:
        answers = [(await call(server, body))[0] for _ in range(30)]
        assert server.candidate is not None
        assert len(server.candidate._copies) == 16, "further requests are not copied"
        stub.released.set()
        return answers

    assert asyncio.run(many()) == [200] * 30


def test_health_tells_of_both(model: TradingModel, stub: Stub, tmp_path: Path) -> None:
    stub.answer = b'{"version": "9"}'
    server = front(model, stub.address, tmp_path, policy="split")
    said = json.loads(asyncio.run(call(server, path="/health"))[1])
    assert (said["policy"], said["bundle"], said["candidate"]) == ("split", model.identity, {"version": "9"})
    gone = front(model, "http://127.0.0.1:9", tmp_path, policy="split")
    assert json.loads(asyncio.run(call(gone, path="/health"))[1])["candidate"] == {"status": "unreachable"}


def test_a_policy_without_what_it_needs_is_refused(model: TradingModel, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="policy: split needs the candidate's server"):
        server_of(model, tmp_path, {SETTINGS: '{"policy": "split"}'})
    with pytest.raises(UserError, match=r"set serving\.record\.folder"):
        server_of(model, tmp_path, {SETTINGS: '{"policy": "shadow"}'})
    assert ServingConfig().policy == "single"


def test_an_answer_that_is_no_json_is_left_to_the_champion(model: TradingModel, stub: Stub, tmp_path: Path) -> None:
    stub.status, stub.answer = 400, b"<html>not ours</html>"
    status, answer = ask(front(model, stub.address, tmp_path, policy="split"), model, THEIRS)
    assert (status, answer["predictions"][0]["bundle"]) == (200, model.identity)
    stub.status, stub.answer = 200, b"\n"  # MLflow's own server has such a /health
    status, health = asyncio.run(call(front(model, stub.address, tmp_path, policy="split"), path="/health"))
    assert (status, json.loads(health)["candidate"]) == (200, {"status": "unreachable"})


def test_with_all_its_threads_waiting_the_candidate_is_not_asked(
    model: TradingModel, stub: Stub, tmp_path: Path
) -> None:
    stub.wait = 60.0
    server = front(model, stub.address, tmp_path, policy="split")
    body = json.dumps(body_of(newest(model), {"account": THEIRS})).encode()

    async def several() -> list[tuple[int, bytes]]:
        hanging = [asyncio.ensure_future(call(server, body)) for _ in range(AT_ONCE)]
        while len(stub.asked) < AT_ONCE:
            await asyncio.sleep(0.05)
        own = await call(server, body)
        stub.released.set()
        return [own, *await asyncio.gather(*hanging)]

    own, *others = asyncio.run(several())
    assert json.loads(own[1])["predictions"][0]["bundle"] == model.identity
    assert {answer for _, answer in others} == {stub.answer}
