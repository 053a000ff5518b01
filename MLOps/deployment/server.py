"""The ASGI application that answers requests to a served model.

`mlflow models serve` starts uvicorn with the module `mlflow.pyfunc.scoring_server.app`, which loads the model and then
makes MLflow's application. That one reads bodies of any size and type, hands them to parsers that were not made for
strangers, and answers with dumps and traces. This application takes its place, with the same routes:

    POST /invocations   decisions
    GET  /health        what is served, as JSON
    GET  /ping          an empty line
    GET  /version       MLflow's version, as MLflow's server answers it
"""

import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import mlflow
import yaml

from MLOps.config.schema import parse, shown
from MLOps.config.serving import ANSWERED, CANDIDATE_ADDRESS, ROLE, SETTINGS, ServingConfig
from MLOps.deployment.answering import Answering, as_json
from MLOps.deployment.body import read_json
from MLOps.deployment.candidate import Candidate
from MLOps.deployment.record import DecisionRecord
from MLOps.deployment.trading_model import TradingModel
from MLOps.errors import UserError

MLFLOW_APP = "mlflow.pyfunc.scoring_server.app"
JSON = "application/json"
MEGABYTE = 2**20
# Bodies that are read or wait for a decision may have this many times the largest size in all.
PENDING_BODIES = 16
# Of a body that is refused, this many times the largest size is read before the connection is closed.
DROPPED_BODIES = 4
LONGEST_SENTENCE = 400  # characters
# MLflow's names of the statuses.
ERROR_CODES = {
    400: "INVALID_PARAMETER_VALUE",
    404: "ENDPOINT_NOT_FOUND",
    429: "REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
}

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

log = logging.getLogger("uvicorn.error")


class RefusedError(Exception):
    """A request that is not answered: an HTTP status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


class DisconnectedError(Exception):
    """The client has gone."""


@dataclass
class Server:
    """The application.

    Attributes:
        answering: of the loaded model.
        described: what /health says.
        candidate: the candidate's server, if there is one.
    """

    answering: Answering
    described: dict[str, Any]
    candidate: Candidate | None = None
    _pending_bytes: int = field(default=0, init=False)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            try:
                status, body = await self._respond(scope, receive)
            except DisconnectedError:
                return
            await _send(send, status, body)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})  # uvicorn answers the handshake with 403

    async def _live(self, receive: Receive, send: Send) -> None:
        """uvicorn's start and end of the application."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown" and self.answering.record:
                self.answering.record.close()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def _respond(self, scope: Message, receive: Receive) -> tuple[int, bytes]:
        try:
            return 200, await self._answer(scope, receive)
        except RefusedError as refused:
            return refused.status, _error(refused.status, refused.sentence)
        except UserError as error:
            return 400, _error(400, str(error))
        except DisconnectedError:
            raise
        except Exception:
            log.exception("a request failed")
            return 500, _error(500, "the request could not be answered; the server's log says why")

    async def _answer(self, scope: Message, receive: Receive) -> bytes:
        path, method = scope["path"], scope["method"]
        routes = {"/invocations": "POST", "/health": "GET", "/ping": "GET", "/version": "GET"}
        if path not in routes:
            raise RefusedError(404, f"no such page; there are {', '.join(routes)}")
        if method != routes[path]:
            raise RefusedError(405, f"{path} answers {routes[path]} requests")
        if path == "/invocations":
            return await self._invoke(dict(scope["headers"]), receive)
        if path == "/health":
            beside = {"candidate": await self.candidate.described()} if self.candidate else {}
            return as_json({**self.described, **beside})
        return {"/ping": b"\n", "/version": mlflow.__version__.encode()}[path]

    async def _invoke(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        parts: list[bytes] = []
        try:
            refusal = self._wrong_headers(headers)
            size = 0
            async for part in self._parts(receive):
                size += len(part)
                refusal = refusal or self._too_much(size, len(part))
                if refusal is None:
                    parts.append(part)
                    self._pending_bytes += len(part)
                # A client that is still sending would not see the answer, so some of the rest is read and dropped.
                elif size > DROPPED_BODIES * self._most_bytes:
                    break
            if refusal is not None:
                raise refusal
            return await self._decide(b"".join(parts))
        finally:
            self._pending_bytes -= sum(map(len, parts))

    async def _decide(self, body: bytes) -> bytes:
        if self.candidate is not None:
            if answered := await self.candidate.answer(body):
                status, answer = answered
                if status == 200:
                    return answer
                with suppress(ValueError, LookupError, TypeError):  # no refusal of ours: the champion answers
                    raise RefusedError(status, str(json.loads(answer)["message"]))
            self.candidate.copy(body)
        # Another thread decides, so that requests of others are read meanwhile.
        return await asyncio.to_thread(self._decided, body)

    def _decided(self, body: bytes) -> bytes:
        return as_json(self.answering.answer(body))

    @property
    def _most_bytes(self) -> float:
        return self.answering.limits.max_request_mb * MEGABYTE

    async def _parts(self, receive: Receive) -> AsyncIterator[bytes]:
        timeout_s = self.answering.limits.body_timeout_s
        give_up = asyncio.get_running_loop().time() + timeout_s
        more = True
        while more:
            try:
                async with asyncio.timeout_at(give_up):
                    message = await receive()
            except TimeoutError:
                raise RefusedError(408, f"expected the whole body within {timeout_s:g} seconds") from None
            if message["type"] == "http.disconnect":
                raise DisconnectedError
            yield message.get("body", b"")
            more = message.get("more_body", False)

    def _too_much(self, size: int, more: int) -> RefusedError | None:
        """A body that has reached `size`, after `more` bytes that are not kept yet."""
        if size > self._most_bytes:
            most = self.answering.limits.max_request_mb
            return RefusedError(
                413, f"expected a body of at most {most:g} MB (serving.max_request_mb); send fewer bars"
            )
        if self._pending_bytes + more > PENDING_BODIES * self._most_bytes:
            return RefusedError(429, "too many requests at once; send it again later")
        return None

    def _wrong_headers(self, headers: dict[bytes, bytes]) -> RefusedError | None:
        content_type = headers.get(b"content-type", b"").decode("latin-1").lower()
        kind, *parameters = (part.strip() for part in content_type.split(";"))
        if kind != JSON or any(parameter not in ("", "charset=utf-8") for parameter in parameters):
            found = f"found {shown(content_type)}" if kind else "found none"
            return RefusedError(415, f"expected the content type {JSON} in UTF-8, {found}; send JSON")
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            return RefusedError(415, "expected a body without content encoding; send it uncompressed")
        announced = headers.get(b"content-length", b"")
        return self._too_much(int(announced), int(announced)) if announced.isdigit() else None


def server_of(model: TradingModel, folder: Path, variables: Mapping[str, str]) -> Server:
    """The application that serves `model`.

    Args:
        folder: of the MLflow model.
        variables: of the environment; SETTINGS holds the section `serving:` of params.yaml as JSON, CANDIDATE_ADDRESS
            the address of the candidate's server, ROLE how this model is asked.

    Raises:
        UserError: the settings are not of that section, or ask for a candidate that has no server.
    """
    where = f"the variable {SETTINGS}"
    config = parse(
        ServingConfig, read_json(variables.get(SETTINGS, "{}"), where, '{"max_rows": 1000}'), where, "serving"
    )
    address = variables.get(CANDIDATE_ADDRESS)
    if config.policy != "single" and not address:
        raise UserError(
            f"serving.policy: {config.policy} needs the candidate's server; run `python -m MLOps serve "
            f"--alias champion`, or give its address in {CANDIDATE_ADDRESS}"
        )
    registered = registered_as(folder)
    described = {"status": "ok", **registered, "bundle": model.identity, "policy": config.policy}
    record = DecisionRecord(config.record) if config.record.folder else None
    answering = Answering(model, config, record, registered["version"], variables.get(ROLE, ANSWERED))
    return Server(answering, described, Candidate(address, config) if address else None)


def registered_as(folder: Path) -> dict[str, str | None]:
    """Name and version of the MLflow model in `folder`; None where it was not loaded from a registry."""
    file = folder / "registered_model_meta"
    said = yaml.safe_load(file.read_text()) if file.is_file() else {}
    # MLflow writes the version of some stores as a number.
    return {"model": said.get("model_name"), "version": str(said["model_version"]) if said else None}


def serve_in_place_of_mlflow(model: TradingModel, folder: Path) -> None:
    """Make this application the one that uvicorn serves, if MLflow's server is what loads the model.

    The model is loaded while uvicorn imports MLflow's application. A module may put another in its place while it is
    imported; the importer gets that one.
    """
    if MLFLOW_APP not in sys.modules:
        return
    module = ModuleType(MLFLOW_APP, __doc__)
    module.app = server_of(model, folder, os.environ)  # type: ignore[attr-defined]
    sys.modules[MLFLOW_APP] = module


def end_server(sentence: str) -> None:
    """End with a sentence, without a stack trace, if MLflow's server is what loads the model."""
    if MLFLOW_APP in sys.modules:
        raise SystemExit(sentence)


def _error(status: int, sentence: str) -> bytes:
    sentence = " ".join(sentence.split())
    if len(sentence) > LONGEST_SENTENCE:
        sentence = f"{sentence[:LONGEST_SENTENCE]}…"
    return as_json({"error_code": ERROR_CODES.get(status, "BAD_REQUEST"), "message": sentence})


async def _send(send: Send, status: int, body: bytes) -> None:
    headers: Iterable[tuple[str, str]] = [("content-type", JSON), ("content-length", str(len(body)))]
    if status in (408, 413, 429):  # the rest of the body may not have been read
        headers = [*headers, ("connection", "close")]
    encoded = [(name.encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
