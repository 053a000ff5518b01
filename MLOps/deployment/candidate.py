"""The candidate beside the champion: a server of its own, which gets some requests or a copy of all.

Each version runs in a process of its own with the code that it was registered with. The champion's server passes bodies
on and never depends on the answer.
"""

import asyncio
import hashlib
import http.client
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from MLOps.config.serving import ServingConfig
from MLOps.deployment.body import account_of, check_containers
from MLOps.errors import UserError

TIMEOUT_S = 10.0
HEALTH_TIMEOUT_S = 2.0
AT_ONCE = 8  # requests to the candidate
MOST_COPIES = 16  # waiting; further requests are not copied

log = logging.getLogger("uvicorn.error")


class Candidate:
    """The candidate's server at `address`."""

    def __init__(self, address: str, config: ServingConfig) -> None:
        at = urlsplit(address)
        self._host, self._port, self._config = at.hostname or "127.0.0.1", at.port, config
        # Threads of its own, so that a candidate that hangs takes none from the champion.
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="candidate")
        self._health_thread = ThreadPoolExecutor(1, thread_name_prefix="candidate-health")
        self._copies: set[asyncio.Future[Any]] = set()
        self._asked = 0  # requests that the candidate has not answered
        self._described: asyncio.Future[Any] | None = None

    async def answer(self, body: bytes) -> tuple[int, bytes] | None:
        """The candidate's answer to the request of an account in its share; None if it is not asked or has none."""
        if self._config.policy != "split" or self._asked >= AT_ONCE:
            return None
        try:
            check_containers(body, self._config)
        except UserError:
            return None  # the champion says so
        if not is_in_share(await asyncio.to_thread(account_of, body), self._config.candidate_share):
            return None
        self._asked += 1
        asked = asyncio.get_running_loop().run_in_executor(self._threads, self._ask, "POST", "/invocations", body)
        # Not before its thread is free, even where nobody waits any longer.
        asked.add_done_callback(self._answered)
        try:
            answered = await asyncio.wait_for(asyncio.shield(asked), TIMEOUT_S)
        except TimeoutError:
            return None
        return answered if answered and answered[0] < 500 and answered[0] != 429 else None

    def _answered(self, _: asyncio.Future[Any]) -> None:
        self._asked -= 1

    def copy(self, body: bytes) -> None:
        """Have the candidate decide too, later, for its record."""
        if self._config.policy != "shadow":
            return
        if len(self._copies) >= MOST_COPIES:
            log.warning("the candidate is too slow: a request is not copied to it")
            return
        copied = asyncio.get_running_loop().run_in_executor(self._threads, self._ask, "POST", "/invocations", body)
        self._copies.add(copied)
        copied.add_done_callback(self._copies.discard)

    async def described(self) -> dict[str, Any]:
        """What its /health says."""
        unreachable = {"status": "unreachable"}
        if self._described is None or self._described.done():
            # One at a time: probes of a candidate that hangs would pile up.
            loop = asyncio.get_running_loop()
            self._described = loop.run_in_executor(self._health_thread, self._ask, "GET", "/health", b"")
        try:
            found = await asyncio.wait_for(asyncio.shield(self._described), HEALTH_TIMEOUT_S)
            return dict(json.loads(found[1])) if found and found[0] == 200 else unreachable
        except (TimeoutError, ValueError, TypeError):
            return unreachable  # or a version whose server answers otherwise

    def _ask(self, method: str, path: str, body: bytes) -> tuple[int, bytes] | None:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            log.warning("the candidate does not answer: %s", error)
            return None
        finally:
            connection.close()


def is_in_share(account: str | None, share: float) -> bool:
    """Whether the candidate answers an account: the same for an account always, and for no request without one."""
    if account is None:
        return False
    place = int.from_bytes(hashlib.sha256(account.encode()).digest()[:8], "big")
    return place < share * 2**64
