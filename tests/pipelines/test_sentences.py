"""Sixty mistakes of users and more: each is told in one short sentence that names its place and what to do."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from MLOps.config.data import CsvConfig, DataConfig, FilesConfig, LabelledConfig
from MLOps.config.params import load_params, parse_yaml
from MLOps.data.sources import load_bars
from MLOps.errors import UserError
from MLOps.pipelines import prepare
from tests.deployment.bundles import agent, bars, write_bundle
from tests.project import ROOT

LETTERS = 300
ADVICE = re.compile(
    r"\b(add|change|choose|correct|convert|did you mean|give|known here|leave|lower|make|map|raise|remove|rename|"
    r"restore|run|send|set|shorten|sort|swap|write)\b"
)
GONE = object()
AGENT = {"kind": "ppo", "observe": {"features": ["return_1"]}, "total_timesteps": 1}
NETWORK = {"kind": "hybrid", "lookback_bars": 5, "filters": [8, 8], "kernels": [3], "hidden_size": 8, "heads": 2}
CLASSIFIED = {"kind": "target", "n_classes": 5, "horizon_rows": 1}


def judged(sentence: str, words: list[str]) -> None:
    """Check what every sentence must be."""
    assert "\n" not in sentence
    assert len(sentence) < LETTERS, sentence
    assert all(word in sentence for word in words), sentence
    place, _, advice = sentence.rpartition(";")
    assert place and ADVICE.search(advice), sentence
    assert "Traceback" not in sentence and "pydantic" not in sentence and "constrained" not in sentence, sentence


# What is put into params.yaml, and the words of which the sentence must have all.
CONFIGURATIONS: list[tuple[dict[str, Any], list[str]]] = [
    ({"splitz": {}}, ["params.yaml: unknown key 'splitz'", "'splits'"]),
    ({"gate": GONE}, ["params.yaml: the key 'gate' is missing"]),
    ({"trading": "fast"}, ["params.yaml: trading", "a mapping"]),
    ({"data": None}, ["params.yaml: data", "a mapping", "None"]),
    ({"seed": "7"}, ["params.yaml: seed", "an integer", "write 7"]),
    ({"seed": 1.5}, ["params.yaml: seed", "an integer", "1.5"]),
    ({"threads": 0}, ["params.yaml: threads", "greater than 0"]),
    ({"trading.fee": 1}, ["params.yaml: unknown key 'trading.fee'", "'fee_bps'"]),
    ({"trading.commission": 1}, ["params.yaml: unknown key 'trading.commission'", "known here", "more"]),
    ({"trading.reward.scael": 1.0}, ["unknown key 'trading.reward.scael'", "'scale'"]),
    ({"trading.fee_bps": float("nan")}, ["trading.fee_bps", "finite"]),
    ({"trading.stop_loss": 5}, ["trading.stop_loss", "less than 1"]),
    ({"trading.scheme": "target"}, ["trading.scheme", "'target'", "'targets'"]),
    ({"trading.fill": "vwap"}, ["trading.fill", "'vwap'", "next_open"]),
    ({"trading.targets": []}, ["trading.targets", "at least 2"]),
    ({"trading.allow_short": False}, ["trading", "targets", "allow_short"]),
    ({"trading.turbulence_stop": 1.4}, ["trading.turbulence_stop", "turbulence_60"]),
    ({"data.source": "yaho"}, ["data.source", "'yahoo'"]),
    ({"data.source": "yahoo"}, ["data: symbols", "data.symbols"]),
    ({"data.source": "yahoo", "data.symbols": ["A"], "data.start": "2020-01-01"}, ["data: end", "data.end"]),
    ({"data.start": "2015-13-45"}, ["data.start", "'2015-13-45'", "2024-01-31"]),
    ({"data.start": "2012-01-01", "data.end": "2011-01-01"}, ["data: start", "2012-01-01"]),
    ({"data.symbols": "IBM"}, ["data.symbols", "a list", "'IBM'"]),
    ({"data.source": "csv", "data.csv.path": "gone.csv"}, ["data.csv.path", "gone.csv"]),
    ({"data.sentiment.enabled": True, "data.sentiment.path": "no.csv"}, ["data.sentiment.path", "no.csv"]),
    ({"data.files.columns": {"Settle": "clos"}}, ["data.files.columns.Settle", "'close'"]),
    ({"data.bars_per_year": "automatic"}, ["data.bars_per_year", "'auto' or a number", "'automatic'"]),
    ({"data.source": "labelled"}, ["labels.kind", "data.source labelled"]),
    (
        {"data.source": "labelled", "labels": CLASSIFIED, "data.symbols": ["IBM"]},
        ["data: symbols", "labelled", "data.symbols: null"],
    ),
    ({"features.names": "return_1"}, ["features.names", "a list"]),
    ({"features.names": []}, ["features.names", "at least 1"]),
    ({"agents.ppo.observe.features": ["rsi_41"]}, ["agents.ppo.observe.features", "'rsi_41'", "'rsi_14'"]),
    ({"labels.kind": "smooth"}, ["labels.kind", "'smooth'", "'smoothed'"]),
    ({"labels.kind": "score"}, ["unknown key 'labels.smoothing_k'", "volatility_bars"]),
    ({"splits.train": 0.8}, ["splits", "must be 1", "1.1"]),
    ({"splits.train": "70%"}, ["splits.train", "a number", "'70%'"]),
    ({"splits.test": GONE}, ["splits", "2 shares and 0 days"]),
    ({"splits.test_start": "2012-01-01"}, ["splits", "3 shares and 1 days", "remove the other"]),
    (
        {"splits": {"validation_start": "2012-01-01", "test_start": "2010-01-01", "embargo_bars": 5, "folds": 5}},
        ["splits", "validation_start must be before test_start", "2010-01-01"],
    ),
    ({"predictors": {}}, ["predictors", "at least 1"]),
    ({"predictors.lstm": None}, ["predictors.lstm", "a mapping"]),
    ({"predictors.lstm.kind": "lstn"}, ["predictors.lstm.kind", "'lstn'", "'lstm'"]),
    ({"predictors.lstm.kind": "transformer"}, ["predictors.lstm.kind", "'transformer'", "bilstm", "ridge"]),
    ({"predictors.lstm.kind": GONE}, ["'predictors.lstm.kind' is missing"]),
    ({"predictors.lstm.hidden_size": GONE}, ["'predictors.lstm.hidden_size' is missing"]),
    ({"predictors.lstm.hiden_size": 8}, ["unknown key 'predictors.lstm.hiden_size'", "'hidden_size'"]),
    ({"predictors.lstm.learning_rate": "1e-3"}, ["predictors.lstm.learning_rate", "'1e-3'", "write 0.001"]),
    ({"predictors.lstm.dropout": 1.5}, ["predictors.lstm.dropout", "less than 1"]),
    ({"predictors.lstm.monitor": "selection_los"}, ["predictors.lstm.monitor", "'selection_loss'"]),
    ({"predictors.both": NETWORK}, ["predictors.both", "filters and kernels", "2 and 1"]),
    ({"predictors.p": {"kind": "persistence", "feature": "retrun_5"}}, ["predictors.p.feature", "'return_5'"]),
    ({"predictors": {"a/b": {"kind": "class_prior"}}}, ["predictors", "'a/b'", "letters"]),
    ({"agents": {"my agent": AGENT}}, ["agents", "'my agent'", "letters"]),
    ({"agents.ppo.kind": "pp0"}, ["agents.ppo.kind", "'pp0'", "'ppo'"]),
    ({"agents.ppo.learning_rate": {"start": 1.0}}, ["'agents.ppo.learning_rate.end' is missing"]),
    ({"agents.ppo.net_arch": [64, -1]}, ["agents.ppo.net_arch.1", "greater than 0"]),
    ({"agents.ppo.observe.predictors": ["lsmt"]}, ["agents.ppo.observe.predictors", "'lstm'"]),
    ({"search.predictors.spaces": {"lstm": {"dropout": {"low": 0.1}}}}, ["search.predictors.spaces.lstm.dropout"]),
    (
        {"search.predictors.spaces": {"lstm": {"dropout": {"low": 0.5, "high": 1.5}}}},
        ["search.predictors.spaces.lstm.dropout", "less than 1", "1.5"],
    ),
    (
        {"search.agents.spaces": {"ppo": {"learning_rate": {"low": 0.0, "high": 0.1, "log": True}}}},
        ["search.agents.spaces.ppo.learning_rate", "log scale", "0.0"],
    ),
    ({"agent_ensemble.kind": "votes"}, ["agent_ensemble.kind", "'vote'"]),
    ({"agent_ensemble.kind": "vote"}, ["agent_ensemble.kind", "two agents", "found 1"]),
    ({"walk_forward.training": "rolling"}, ["walk_forward.training", "'rolling'", "sliding"]),
    ({"gate.deflated_sharp": 0.5}, ["unknown key 'gate.deflated_sharp'", "'deflated_sharpe'"]),
    ({"tracking.uri": ""}, ["tracking.uri", "empty"]),
    ({"tracking.uri": "http://ann:secret@localhost"}, ["tracking.uri", "MLFLOW_TRACKING_URI"]),
]
TEXTS = {
    "gone": (None, ["params.yaml: no such file"]),
    "empty": ("", ["params.yaml: expected sections", "None"]),
    "a tab": ("seed: 7\n\tthreads: 1\n", ["params.yaml: not readable as YAML", "line 2"]),
    "a bracket": ("seed: [7\n", ["params.yaml: not readable as YAML", "line 2"]),
    "twice": ("seed: 7\nthreads: 1\nseed: 8\n", ["params.yaml", "'seed'", "line 1", "line 3"]),
}


def altered(values: dict[str, Any]) -> str:
    """params.yaml with dotted keys set, as JSON, which is YAML."""
    params = parse_yaml((ROOT / "params.yaml").read_text())
    for key, value in values.items():
        *sections, last = key.split(".")
        place = params
        for name in sections:
            place = place[name]
        if value is GONE:
            del place[last]
        else:
            place[last] = value
    return json.dumps(params).replace("NaN", ".nan")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    for name in ("dvc.yaml", "data"):
        (tmp_path / name).symlink_to(ROOT / name)
    yield tmp_path
    assert {path.name for path in tmp_path.iterdir()} <= {"dvc.yaml", "data", "params.yaml"}, "half-written"


def told_by_prepare(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as end:
        prepare.main()
    assert end.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("prepare: ")


@pytest.mark.parametrize(("values", "words"), CONFIGURATIONS, ids=lambda part: " ".join(part) if part else None)
def test_a_mistake_in_the_configuration(
    values: dict[str, Any], words: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "params.yaml").write_text(altered(values))
    sentence = told_by_prepare(capsys)
    judged(sentence, words)
    assert "secret" not in sentence


@pytest.mark.parametrize("mistake", TEXTS)
def test_a_file_that_is_no_configuration(mistake: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, words = TEXTS[mistake]
    if text is not None:
        (here / "params.yaml").write_text(text)
    judged(told_by_prepare(capsys), words)


def test_anchors_and_overrides_are_no_double_keys(here: Path) -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n"
    assert parse_yaml(text) == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}


SAMPLE = pd.read_csv(ROOT / "data/sample/bars.csv.gz").query("symbol == 'IBM'").head(40).reset_index(drop=True)
Spoil = Callable[[pd.DataFrame], pd.DataFrame]
DATA: dict[str, tuple[Spoil, dict[str, Any], list[str]]] = {
    "a price missing": (lambda b: b.assign(low=b["low"].where(b.index != 7)), {}, ["bars.csv", "low", "row 7"]),
    "a price of text": (
        lambda b: b.astype({"low": "object"}).assign(low=b["low"].astype("object").where(b.index != 3, "n.a.")),
        {},
        ["bars.csv", "low", "row 3", "'n.a.'"],
    ),
    "a price of nothing": (lambda b: b.assign(low=0.0), {}, ["bars.csv", "low must be positive", "row 0"]),
    "a negative volume": (lambda b: b.assign(volume=-1.0), {}, ["bars.csv", "volume"]),
    "no close": (lambda b: b.drop(columns=["close", "adj_close"]), {}, ["bars.csv", "close missing"]),
    "a misspelt close": (lambda b: b.rename(columns={"close": "clsoe"}), {}, ["bars.csv", "'clsoe'", "close"]),
    "no row": (lambda b: b.head(0), {}, ["bars.csv", "no row"]),
    "a bar twice": (lambda b: pd.concat([b, b.head(1)]), {}, ["bars.csv", "one bar a timestamp"]),
    "days before months": (lambda b: b.assign(date="31/01/2024"), {}, ["bars.csv", "day before the month", "row 0"]),
    "no times": (lambda b: b.assign(date="yesterday"), {}, ["bars.csv", "timestamp", "'yesterday'"]),
    "a symbol missing": (lambda b: b.assign(symbol=b["symbol"].where(b.index != 5)), {}, ["bars.csv", "symbol"]),
    "a column that is not there": (
        lambda b: b,
        {"files": FilesConfig(path="bars.csv", columns={"Settel": "close"})},
        ["data.files.columns", "'Settel'"],
    ),
    "an unknown symbol": (lambda b: b, {"symbols": ("IMB",)}, ["data.symbols", "'IMB'", "'IBM'"]),
    "days without bars": (lambda b: b, {"start": "2020-01-01"}, ["data.start", "2020-01-01"]),
    "no file": (lambda b: b, {"files": FilesConfig(path="brs.csv")}, ["brs.csv", "no such file"]),
    "another format": (lambda b: b, {"files": FilesConfig(path="bars.xlsx")}, ["bars.xlsx", "name ending in"]),
    "rows out of order": (
        lambda b: b.iloc[::-1],
        {"source": "csv", "csv": CsvConfig(path="bars.csv")},
        ["bars.csv", "sorted"],
    ),
    "a table without its target": (
        lambda b: b,
        {"source": "labelled", "labelled": LabelledConfig(path="bars.csv", id="date", target="scor", features=None)},
        ["bars.csv", "data.labelled.target", "'scor'"],
    ),
}


@pytest.mark.parametrize("mistake", DATA)
def test_a_mistake_in_the_data(mistake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spoil, keys, words = DATA[mistake]
    (tmp_path / "bars.xlsx").touch()
    spoil(SAMPLE).to_csv(tmp_path / "bars.csv", index=False)
    config: DataConfig = replace(
        load_params(ROOT / "params.yaml").data, **{"source": "files", "files": FilesConfig(path="bars.csv"), **keys}
    )
    with pytest.raises(UserError) as error:
        load_bars(config, 0)
    judged(str(error.value), words)


Serve = Callable[[pd.DataFrame, dict[str, Any]], Any]


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """A small model as the server asks it, in this process."""
    from MLOps.deployment.serving_model import ServingModel

    trading = replace(load_params(ROOT / "params.yaml").trading, scheme="weights")
    folder = write_bundle(tmp_path_factory.mktemp("served"), agent("ppo", trading, steps=0))
    model = ServingModel()
    model.load_context(SimpleNamespace(artifacts={"bundle": str(folder)}))
    return lambda table, params: model.predict(None, table, params)


REQUESTS: dict[str, tuple[Spoil, dict[str, Any], list[str]]] = {
    "no close": (lambda b: b.drop(columns="close"), {}, ["the request's bars", "close missing"]),
    "too few bars": (lambda b: b.groupby("symbol").tail(2), {}, ["the request's bars", "bars of each symbol"]),
    "newest first": (lambda b: b.iloc[::-1], {}, ["the request's bars", "sorted"]),
    "no row": (lambda b: b.head(0), {}, ["the request's bars", "no row"]),
    "no time": (lambda b: b.assign(timestamp="yesterday"), {}, ["the request's bars", "timestamp"]),
    "a negative price": (lambda b: b.assign(open=-b["open"]), {}, ["the request's bars", "open must be positive"]),
    "a symbol alone": (lambda b: b[b["symbol"] == "S00"], {}, ["the features compare symbols", "missing"]),
    "negative cash": (lambda b: b, {"cash_per_symbol": -1}, ["cash_per_symbol", "-1"]),
    "no JSON": (lambda b: b, {"positions": "{S00: 1}"}, ["positions", "JSON"]),
    "a list": (lambda b: b, {"positions": "[1]"}, ["positions", "JSON object"]),
    "an unknown word": (lambda b: b, {"positions": '{"S00": {"share": 1}}'}, ["positions: S00", "'shares'"]),
    "an entry at nothing": (
        lambda b: b,
        {"positions": '{"S00": {"shares": 1, "entry_price": 0}}'},
        ["positions: S00", "entry_price", "greater than 0"],
    ),
    "shares of text": (lambda b: b, {"positions": '{"S00": "ten"}'}, ["positions: S00", "shares", "'ten'"]),
    "a position without bars": (lambda b: b, {"positions": '{"XYZ": 1}'}, ["positions", "XYZ"]),
    "no equity": (lambda b: b, {"positions": '{"S00": {"shares": -9000, "cash": 1}}'}, ["S00", "equity"]),
}


@pytest.mark.parametrize("mistake", REQUESTS)
def test_a_mistake_in_a_request(mistake: str, serve: Serve) -> None:
    spoil, params, words = REQUESTS[mistake]
    with pytest.raises(MlflowException) as error:
        serve(spoil(bars()), params)
    assert error.value.get_http_status_code() == 400
    judged(error.value.message, words)


def test_the_tables_have_sixty_mistakes() -> None:
    assert len(CONFIGURATIONS) + len(TEXTS) + len(DATA) + len(REQUESTS) >= 60
