"""Whatever is sent to the server is decided on or refused in a sentence, in bounded memory."""

import asyncio
import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from MLOps.config.serving import ServingConfig
from MLOps.deployment.answering import Answering
from MLOps.deployment.server import MLFLOW_APP, Server, serve_in_place_of_mlflow, server_of
from MLOps.deployment.trading_model import TradingModel
from MLOps.errors import UserError
from MLOps.features.pipeline import FeaturePipeline
from tests.deployment.bundles import bars
from tests.deployment.decisions import request_bars
from tests.deployment.fuzz import faults, spoilt

JSON = ("application/json",)


@pytest.fixture(scope="module")
def server(model: TradingModel) -> Server:
    return server_of(model, Path("nowhere"), {})


def limited(model: TradingModel, **limits: Any) -> Server:
    return Server(Answering(model, ServingConfig(**limits)), {})


def newest(model: TradingModel) -> pd.DataFrame:
    return request_bars(model, bars(), bars()["timestamp"].max())


def body_of(table: pd.DataFrame, params: dict[str, Any] | None = None) -> dict[str, Any]:
    table = table.assign(timestamp=table["timestamp"].astype(str))
    split = {"columns": list(table.columns), "data": table.astype(object).to_numpy().tolist()}
    return {"dataframe_split": split, "params": params or {}}


async def call(
    server: Server,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    path: str = "/invocations",
    size: int = 65536,
) -> tuple[int, bytes]:
    """One request, as uvicorn hands it to the application; the body comes in parts of `size` bytes."""
    headers = {"content-type": "application/json"} if headers is None else headers
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    parts = [body[i : i + size] for i in range(0, len(body), size)] or [b""]
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message: Any) -> None:
        sent.append(message)

    method = "POST" if path == "/invocations" else "GET"
    await server({"type": "http", "path": path, "method": method, "headers": encoded}, receive, send)
    return sent[0]["status"], sent[1]["body"]


def post(server: Server, values: Any, **options: Any) -> tuple[int, Any]:
    body = values if isinstance(values, bytes) else json.dumps(values).encode()
    status, answer = asyncio.run(call(server, body, **options))
    return status, json.loads(answer)


def refusal(server: Server, values: Any, **options: Any) -> str:
    status, answer = post(server, values, **options)
    assert status == 400, answer
    assert faults(status, json.dumps(answer, ensure_ascii=False).encode()) == []
    return str(answer["message"])


def test_spoilt_requests_are_refused_in_a_sentence(server: Server, model: TradingModel) -> None:
    good = body_of(newest(model), {"cash_per_symbol": 1e5, "positions": '{"S00": 3}'})
    statuses = []
    for content_type, body in spoilt(good, 300, seed=1):
        status, answer = asyncio.run(call(server, body, {"content-type": content_type}))
        assert faults(status, answer) == [], body[:300]
        statuses.append(status)
    assert {200, 400, 415} <= set(statuses)


def test_both_layouts_give_the_models_decision(server: Server, model: TradingModel) -> None:
    table, positions = newest(model), {"S00": {"shares": 3, "holding_bars": 2}}
    split = body_of(table, {"cash_per_symbol": 5000, "positions": json.dumps(positions)})
    rows = table.assign(timestamp=table["timestamp"].astype(str)).to_dict(orient="records")
    records = {"dataframe_records": rows, "params": {"cash_per_symbol": 5000, "positions": positions}}
    answers = [post(server, request) for request in (split, records)]
    assert answers[0] == answers[1]
    status, answer = answers[0]
    assert status == 200
    assert answer["predictions"][0]["bundle"] == model.identity


def test_a_long_history_changes_no_decision_and_is_not_computed_on(
    model: TradingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of symbols that are listed late, end, or lack bars."""
    computed: list[int] = []
    compute = FeaturePipeline.compute

    def counted(own: FeaturePipeline, table: pd.DataFrame) -> pd.DataFrame:
        computed.append(len(table))
        return compute(own, table)

    monkeypatch.setattr(FeaturePipeline, "compute", counted)
    for stamp in sorted(bars()["timestamp"].unique())[-40:]:
        short = request_bars(model, bars(), stamp)
        long = bars()[(bars()["timestamp"] <= stamp) & bars()["symbol"].isin(short["symbol"])]
        pd.testing.assert_frame_equal(model.decide(long, 1e5, {}), model.decide(short, 1e5, {}), check_exact=True)
    assert max(computed) < 100 < len(long)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (b"", "expected JSON"),
        (b"[]", "expected a JSON object with dataframe_split, found a list"),
        ({}, "found neither"),
        ({"dataframe_split": {}, "dataframe_records": []}, "found both"),
        ({"dataframe_splt": {}}, "did you mean 'dataframe_split'"),
        ({"inputs": []}, "unknown key 'inputs'"),
        ({"dataframe_split": []}, "expected a JSON object with columns and data, found a list"),
        ({"dataframe_split": {"columns": ["open"], "data": {"a": 1}}}, "data: expected a list of lists"),
        ({"dataframe_split": {"columns": ["open"], "data": [1]}}, "found in it a number"),
        ({"dataframe_split": {"columns": ["open"], "data": [[1, 2]]}}, "1 values in each row, found 2 in row 0"),
        ({"dataframe_split": {"columns": ["open", "open"], "data": []}}, "different names"),
        ({"dataframe_split": {"columns": ["open"], "data": [["1"]]}}, "open must hold numbers, found text"),
        ({"dataframe_split": {"columns": ["open"], "data": [[10**400]]}}, "at most 1e+15"),
        ({"dataframe_split": {"columns": ["open"], "data": [[1e-200]]}}, "prices of at least 1e-15"),
        ({"dataframe_split": {"columns": ["timestamp"], "data": [[5]]}}, "timestamp: expected text, found a number"),
        ({"dataframe_split": {"columns": ["symbol"], "data": [["A" * 99]]}}, "at most 64 printable characters"),
        ({"dataframe_records": [], "params": []}, "params: expected a JSON object"),
    ],
)  # fmt: skip
def test_what_is_no_table_of_bars_is_told(server: Server, values: Any, words: str) -> None:
    assert words in refusal(server, values)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"cash_per_symbol": "many"}, "expected a number, found 'many'"),
        ({"cash_per_symbol": 1e300}, "at most 1e+15"),
        ({"cash_per_symbol": True}, "expected a number"),
        ({"positions": '{"S00": 1e308}'}, "less than or equal to 1000000000000000"),
        ({"positions": {"S00": {"shares": 1, "holding_bars": 2**63}}}, "less than or equal to 1000000000"),
        ({"positions": "[" * 5000}, "recursion limit exceeded"),
        ({"positions": {f"S{n}": 1 for n in range(3000)}}, "expected at most 2000 symbols, found 3000"),
        ({"positions": {"A" * 5000: 1}}, "at most 64 printable characters"),
        ({"positions": "B" * 5000}, "expected JSON"),
        ({"positions": {"S00": "A" * 5000}}, "S00: shares"),
        ({"levrage": 1}, "unknown parameter 'levrage'"),
    ],
)
def test_what_is_no_account_is_told(server: Server, model: TradingModel, params: Any, words: str) -> None:
    assert words in refusal(server, body_of(newest(model), params))


@pytest.mark.parametrize("word", ["now", "today", "-2024-01-01", " 2024-01-01"])
def test_a_timestamp_is_no_word(server: Server, model: TradingModel, word: str) -> None:
    """pandas knows some, whose time would be the server's."""
    table = newest(model).assign(timestamp=lambda own: own["timestamp"].astype(str))
    table.loc[table.groupby("symbol").tail(1).index, "timestamp"] = word
    assert f"timestamp must be ISO 8601 dates or times: found {word!r}" in refusal(server, body_of(table))


def test_types_of_content(server: Server, model: TradingModel) -> None:
    good = json.dumps(body_of(newest(model))).encode()
    for said in ("application/json", "application/json; charset=utf-8", "Application/JSON"):
        assert post(server, good, headers={"content-type": said})[0] == 200
    for said in ("", "text/csv", "application/vnd.apache.parquet", "application/json; charset=latin-1"):
        assert post(server, good, headers={"content-type": said})[0] == 415
    assert post(server, good, headers={})[0] == 415
    assert post(server, good, headers={"content-type": "application/json", "content-encoding": "gzip"})[0] == 415


def test_the_size_of_a_body_is_bounded_before_it_is_kept(model: TradingModel) -> None:
    server = limited(model, max_request_mb=0.1)
    kept = []
    server._decided = lambda body: kept.append(len(body)) or b"{}"  # type: ignore[method-assign, func-returns-value]
    assert post(server, b" " * 100_000)[0] == 200
    assert post(server, b" " * 200_000)[0] == 413
    # What is announced counts too, and all that comes is bounded whatever is announced.
    announced = {"content-type": "application/json", "content-length": "200000"}
    assert post(server, b" ", headers=announced)[0] == 413
    assert post(server, b" " * 5_000_000)[0] == 413
    assert kept == [100_000]
    assert server._pending_bytes == 0


def test_bodies_in_memory_are_bounded_together(model: TradingModel) -> None:
    server = limited(model, max_request_mb=0.1)
    release = threading.Event()
    server._decided = lambda body: (release.wait(10) and b"{}") or b""  # type: ignore[method-assign]

    async def many() -> list[int]:
        waiting = [asyncio.create_task(call(server, b" " * 100_000)) for _ in range(17)]
        await asyncio.sleep(0.1)
        refused = await call(server, b" " * 100_000)
        release.set()
        return [*(status for status, _ in await asyncio.gather(*waiting)), refused[0]]

    assert asyncio.run(many()) == [200] * 16 + [429, 429]
    assert server._pending_bytes == 0


def test_a_slow_body_is_given_up_and_stops_nobody(model: TradingModel) -> None:
    server = limited(model, body_timeout_s=0.3)
    good = json.dumps(body_of(newest(model))).encode()

    async def slow() -> int:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(0.05)
            return {"type": "http.request", "body": b" ", "more_body": True}

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"content-type", b"application/json")]
        await server({"type": "http", "path": "/invocations", "method": "POST", "headers": headers}, receive, send)
        return int(sent[0]["status"])

    async def both() -> tuple[list[int], int]:
        crawling = [asyncio.create_task(slow()) for _ in range(50)]
        status, _ = await call(server, good)
        assert not any(task.done() for task in crawling)
        return await asyncio.gather(*crawling), status

    crawled, status = asyncio.run(both())
    assert status == 200
    assert set(crawled) == {408}


def test_rows_and_symbols_are_bounded(model: TradingModel) -> None:
    table = newest(model)
    assert "at most 20 rows" in refusal(limited(model, max_rows=20), body_of(table))
    assert "at most 2 symbols" in refusal(limited(model, max_symbols=2), body_of(table))


def test_bars_of_the_future_are_refused(server: Server, model: TradingModel) -> None:
    table = newest(model)
    soon = pd.Timestamp.now("UTC").floor("us")
    for ahead, answered in (("2min", True), ("10min", False), ("9000D", False)):
        last = table.groupby("symbol").cumcount(ascending=False) == 0
        one = last & (table["symbol"] == "S00")
        later = table.assign(timestamp=table["timestamp"].where(~one, soon + pd.Timedelta(ahead)))
        status, answer = post(server, body_of(later))
        assert (status == 200) is answered, answer
        if not answered:
            assert "expected none after the server's clock" in answer["message"]
            assert "of S00" in answer["message"]


def test_symbols_that_lag_behind_are_named_or_refused(server: Server, model: TradingModel) -> None:
    table = bars()[bars()["symbol"] != "S04"].groupby("symbol").tail(model.required_bars + 1)
    last = table["timestamp"].max()
    late = table[~((table["symbol"] == "S01") & (table["timestamp"] == last))]
    status, answer = post(server, body_of(late))
    assert status == 200
    assert "S01" not in {row["symbol"] for row in answer["predictions"]}
    assert answer["not_decided"]["S01"] == late.loc[late["symbol"] == "S01", "timestamp"].max().isoformat()
    # S02 had ended when the model was made, so its last bar is no lag.
    strict = limited(model, on_lag="refuse")
    assert "the newest of S01 at" in refusal(strict, body_of(late))


def test_old_bars_are_refused_where_an_age_is_set(model: TradingModel) -> None:
    old = body_of(newest(model))
    assert "is older than 60 minutes" in refusal(limited(model, max_age_minutes=60.0), old)
    assert post(limited(model, max_age_minutes=1e8), old)[0] == 200


def test_health_tells_what_is_served(server: Server, model: TradingModel) -> None:
    status, answer = asyncio.run(call(server, path="/health"))
    assert status == 200
    assert json.loads(answer)["bundle"] == model.identity
    assert asyncio.run(call(server, path="/ping")) == (200, b"\n")
    assert asyncio.run(call(server, path="/version"))[0] == 200
    assert asyncio.run(call(server, path="/docs"))[0] == 404


def test_a_fault_of_ours_is_a_sentence_without_a_trace(server: Server, model: TradingModel) -> None:
    faulty = limited(model)
    faulty._decided = lambda body: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    status, answer = post(faulty, b"{}")
    assert status == 500
    assert "log says why" in answer["message"]
    assert "ZeroDivision" not in json.dumps(answer)


def test_wrong_settings_are_told(model: TradingModel) -> None:
    with pytest.raises(UserError, match=r"MLOPS_SERVING: unknown key 'serving.max_rowz'; did you mean 'max_rows'"):
        server_of(model, Path("nowhere"), {"MLOPS_SERVING": '{"max_rowz": 5}'})


def test_the_application_takes_mlflows_place_only_in_its_server(
    model: TradingModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delitem(sys.modules, MLFLOW_APP, raising=False)
    serve_in_place_of_mlflow(model, tmp_path)
    assert MLFLOW_APP not in sys.modules
    (tmp_path / "registered_model_meta").write_text("model_name: trading-agent\nmodel_version: '7'\n")
    monkeypatch.setitem(sys.modules, MLFLOW_APP, ModuleType(MLFLOW_APP))
    serve_in_place_of_mlflow(model, tmp_path)
    app: Callable[..., Any] = sys.modules[MLFLOW_APP].app
    assert isinstance(app, Server)
    assert app.described["version"] == "7"


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"positions": {"AAPL": {"shares": 1, "state": [""] * 100_000}}}, "expected at most 4096 numbers"),
        ({"positions": {"AAPL": {"shares": 1, "state": [0.5] * 100_000}}}, "expected at most 4096 numbers"),
        ({"positions": {"AAPL": {str(n): 1 for n in range(100_000)}}}, "found 100000 keys"),
        ({"x" * 1_000_000: 1}, "unknown parameter"),
    ],
    ids=["text state", "long state", "many keys", "long name"],
)
def test_a_wrong_value_costs_no_more_than_its_size(
    server: Server, model: TradingModel, params: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def parsed(*_: Any) -> None:
        raise AssertionError("pydantic makes an error of each element")

    monkeypatch.setattr("MLOps.deployment.parameters.parse", parsed)
    assert words in refusal(server, body_of(newest(model), params))


def test_lists_are_counted_before_the_body_is_parsed(model: TradingModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def parsed(*_: Any, **__: Any) -> None:
        raise AssertionError("parsing takes memory for each list")

    monkeypatch.setattr("MLOps.deployment.body.from_json", parsed)
    body = b'{"dataframe_split": [' + b"[]," * 100_000 + b"0]}"
    assert "lists and objects" in refusal(limited(model, max_rows=100, max_symbols=10), body)


def test_a_websocket_is_refused(server: Server) -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(server({"type": "websocket", "path": "/"}, receive, send))
    assert [message["type"] for message in sent] == ["websocket.close"]
