"""The record of decisions: all of them, once, without a part in any answer."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from MLOps.config.serving import RecordConfig, ServingConfig
from MLOps.deployment import record as record_module
from MLOps.deployment.answering import Answering
from MLOps.deployment.record import FILES, DecisionRecord
from MLOps.deployment.trading_model import TradingModel
from MLOps.operations.outcomes import read_decisions
from tests.agents.trainings import RULES
from tests.deployment.bundles import agent, write_bundle
from tests.deployment.test_requests import body_of, call, newest, server_of


def recorded(model: TradingModel, folder: Path, **config: Any) -> Answering:
    settings = RecordConfig(folder=str(folder), **config)
    return Answering(model, ServingConfig(record=settings), DecisionRecord(settings), version="3")


def row(number: int) -> dict[str, Any]:
    return {"time": pd.Timestamp(number, unit="s", tz="UTC"), "number": number, "text": f"{number:0200}"}


def test_a_row_tells_what_was_decided_and_from_what(model: TradingModel, tmp_path: Path) -> None:
    answering, table = recorded(model, tmp_path / "record"), newest(model)
    positions = {"S00": {"shares": 3, "cash": 100.0}}
    body = json.dumps(body_of(table, {"account": "me", "cash_per_symbol": 5000, "positions": positions})).encode()
    answer = answering.answer(body)["predictions"]
    assert answering.record is not None
    answering.record.close()
    rows = read_decisions(tmp_path / "record").set_index("symbol")
    assert list(rows.index) == [own["symbol"] for own in answer]
    features = model.pipeline.compute(table).set_index("symbol").groupby(level=0).tail(1)
    for own in answer:
        told = rows.loc[own["symbol"]]
        close = table.loc[table["symbol"] == own["symbol"], "close"].iloc[-1]
        assert told["timestamp"] == table["timestamp"].max()
        assert (told["account"], told["role"], told["version"]) == ("me", "answered", "3")
        assert (told["bundle"], told["close"]) == (model.identity, close)
        assert told["target_position"] == own["target_position"]
        assert told["equity"] == pytest.approx(100 + 3 * close if own["symbol"] == "S00" else 5000)
        assert json.loads(told["forecasts"]) == {"p_fall": own["p_fall"], "p_rise": own["p_rise"]}
        computed = features.loc[own["symbol"], list(model.pipeline.names)].astype(float).to_dict()
        assert json.loads(told["features"]) == computed
        assert told["latency_ms"] > 0
    assert rows["request"].nunique() == 1


def test_every_decision_of_concurrent_requests_is_recorded_once(model: TradingModel, tmp_path: Path) -> None:
    """Two servers on one folder, four clients of each."""
    servers = [recorded(model, tmp_path, rotate_rows=37) for _ in range(2)]
    bodies = [json.dumps(body_of(newest(model), {"cash_per_symbol": 1000 + n})).encode() for n in range(60)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: servers[n % 2].answer(bodies[n]), range(60)))
    for server in servers:
        assert server.record is not None
        server.record.close()
    rows = read_decisions(tmp_path)
    assert len(rows) == sum(len(answer["predictions"]) for answer in answers)
    assert not rows.duplicated(["request", "symbol"]).any()
    assert len(list(tmp_path.glob(FILES))) >= 6
    assert [path for path in tmp_path.iterdir() if not path.match(FILES)] == []


def test_a_file_is_written_when_its_time_is_over(tmp_path: Path) -> None:
    record = DecisionRecord(RecordConfig(folder=str(tmp_path), rotate_minutes=0.001))
    record.add([row(1)])
    for _ in range(200):
        if list(tmp_path.glob(FILES)):
            break
        record._thread.join(0.05)
    assert len(list(tmp_path.glob(FILES))) == 1
    record.close()


def test_the_oldest_files_are_deleted_beyond_the_size(tmp_path: Path) -> None:
    record = DecisionRecord(RecordConfig(folder=str(tmp_path), rotate_rows=1, max_mb=0.02))
    for number in range(40):
        record.add([row(number)])
    record.close()
    left = read_decisions(tmp_path)["number"].tolist()
    assert sum(path.stat().st_size for path in tmp_path.glob(FILES)) <= 0.02 * 2**20
    assert left == list(range(left[0], 40))
    assert 0 < len(left) < 40


def test_a_record_that_cannot_be_written_fails_no_request(model: TradingModel, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    body = json.dumps(body_of(newest(model))).encode()
    plain = Answering(model, ServingConfig()).answer(body)
    answering = recorded(model, tmp_path / "file" / "record", rotate_rows=1)
    assert answering.answer(body) == plain
    assert answering.record is not None
    # The rows wait, and are written when the folder can be.
    (tmp_path / "file").unlink()
    assert answering.answer(body) == plain
    answering.record.close()
    assert len(read_decisions(tmp_path / "file" / "record")) == 2 * len(plain["predictions"])


def test_a_disk_that_is_full_is_tried_again_when_the_next_file_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for each request; meanwhile the newest rows wait."""
    tried: list[list[int]] = []

    def fail(path: Path, table: pd.DataFrame) -> None:
        tried.append(table["number"].tolist())
        raise OSError("no space left")

    monkeypatch.setattr(record_module, "write_table", fail)
    monkeypatch.setattr(record_module, "MOST_WAITING", 10)
    record = DecisionRecord(RecordConfig(folder=str(tmp_path), rotate_rows=5))
    for number in range(100):
        record.add([row(number)])
    record.close()
    assert tried == [list(range(5)), list(range(90, 100))]


def test_rows_are_dropped_while_a_write_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on, said, write = threading.Event(), threading.Event(), [], record_module.write_table

    def hang(path: Path, table: pd.DataFrame) -> None:
        begun.set()
        assert go_on.wait(60)
        write(path, table)

    monkeypatch.setattr(record_module, "write_table", hang)
    monkeypatch.setattr(record_module, "MOST_QUEUED", 3, raising=False)
    monkeypatch.setattr(record_module.log, "error", lambda *words: said.append(words))
    record = DecisionRecord(RecordConfig(folder=str(tmp_path), rotate_rows=1))
    record.add([row(0)])
    assert begun.wait(60)
    for number in range(1, 11):
        record.add([row(number)])
    go_on.set()
    record.close()
    assert read_decisions(tmp_path)["number"].tolist() == [0, 1, 2, 3]
    assert len(said) == 1


def test_rows_that_are_written_do_not_wait_though_old_files_cannot_be_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(record: DecisionRecord) -> None:
        raise PermissionError("not permitted")

    monkeypatch.setattr(DecisionRecord, "_bound", refuse)
    record = DecisionRecord(RecordConfig(folder=str(tmp_path), rotate_rows=1))
    for number in range(5):
        record.add([row(number)])
    record.close()
    assert read_decisions(tmp_path)["number"].tolist() == list(range(5))


@pytest.mark.parametrize(("rules", "cash"), [("portfolio", "cash"), ("weights", "cash_per_symbol")])
def test_a_row_tells_whether_its_account_is_a_portfolio(rules: str, cash: str, tmp_path: Path) -> None:
    model = TradingModel.load(write_bundle(tmp_path / "model", agent("ppo", RULES[rules], steps=0)))
    answering = recorded(model, tmp_path / "record")
    answering.answer(json.dumps(body_of(newest(model), {cash: 5000})).encode())
    assert answering.record is not None
    answering.record.close()
    assert read_decisions(tmp_path / "record")["portfolio"].unique().tolist() == [rules == "portfolio"]


def test_features_that_are_not_known_are_null(model: TradingModel, tmp_path: Path) -> None:
    answering = recorded(model, tmp_path)
    decided = model.decided(newest(model), 1e5, {})
    decided.features.iloc[0, 0] = np.nan
    asked = type("Asked", (), {"account": None, "cash": 1.0, "positions": {}})
    rows = answering._rows(b"", asked, decided, 1.0)  # type: ignore[arg-type]
    assert json.loads(rows[0]["features"])[model.pipeline.names[0]] is None
    assert answering.record is not None
    answering.record.close()


def test_nothing_is_recorded_unless_a_folder_is_named(model: TradingModel, tmp_path: Path) -> None:
    assert server_of(model, tmp_path, {}).answering.record is None


def test_the_end_of_the_server_writes_what_is_left(model: TradingModel, tmp_path: Path) -> None:
    server = server_of(model, tmp_path, {"MLOPS_SERVING": json.dumps({"record": {"folder": str(tmp_path / "r")}})})
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def live() -> None:
        assert (await call(server, json.dumps(body_of(newest(model))).encode()))[0] == 200

        async def receive() -> dict[str, Any]:
            return messages.pop(0)

        async def send(message: Any) -> None:
            pass

        await server({"type": "lifespan"}, receive, send)

    asyncio.run(live())
    assert len(read_decisions(tmp_path / "r")) == 4
