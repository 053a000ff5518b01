"""The registered model: what it answers, that it answers like the backtest, and what it refuses."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from MLOps.artifacts import read_json
from MLOps.config.params import load_params
from MLOps.data.bars import COLUMNS
from MLOps.data.splits import Splits
from MLOps.deployment.trading_model import TradingModel
from MLOps.evaluation.baselines import in_weights
from MLOps.evaluation.performance import performance
from MLOps.model_registry.bundle import MANIFEST, build_bundle, verify_bundle
from MLOps.trading import Action, Market, simulate
from tests.deployment.decisions import account_of, agent_rows, as_parameters, differences
from tests.deployment.server import ask, asking, served
from tests.docs.pages import blocks
from tests.project import Project


@pytest.fixture(scope="module")
def model_folder(finished: Project) -> Path:
    version = finished.client().get_model_version_by_alias("trading-agent", "candidate")
    return Path(finished.client().get_model_version_download_uri("trading-agent", version.version))


@pytest.fixture(scope="module")
def bundle(model_folder: Path) -> Path:
    return model_folder / "artifacts" / "bundle"


@pytest.fixture(scope="module")
def bars(finished: Project) -> pd.DataFrame:
    return pd.read_parquet(finished.folder / "data/processed/bars.parquet")


@pytest.fixture(scope="module")
def ledger(finished: Project) -> pd.DataFrame:
    """The agent's ledger of the backtest, where it was asked for a decision."""
    ledger = pd.read_parquet(finished.folder / "reports/backtest/ledgers.parquet")
    return agent_rows(ledger, load_params(finished.folder / "params.yaml").trading.scheme)


@pytest.fixture(scope="module")
def url(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(finished.folder / "mlflow.db", tmp_path_factory.mktemp("elsewhere")) as address:
        yield address


@pytest.mark.parametrize("page", ["README.md", "recipes.md"])
def test_the_requests_of_the_pages_are_answered(
    page: str, url: str, finished: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(finished.folder)
    (request,) = [block for block in blocks("python") if block.page.name == page and "/invocations" in block.text]
    exec(compile(request.text.replace("http://127.0.0.1:5001/invocations", url), str(request), "exec"), {})  # noqa: S102
    assert "target_position" in capsys.readouterr().out


def history(bars: pd.DataFrame, until: pd.Timestamp, count: int) -> pd.DataFrame:
    """The last `count` bars up to `until`, of each symbol that has as many."""
    recent = bars[bars["timestamp"] <= until].groupby("symbol").tail(count)
    return recent[recent.groupby("symbol")["close"].transform("size") >= count]


def test_every_bar_of_the_test_span_is_decided_as_in_the_backtest(
    bundle: Path, bars: pd.DataFrame, ledger: pd.DataFrame
) -> None:
    model = TradingModel.load(bundle)
    asked, found = differences(model, model.decide, bars, ledger, sorted(ledger["timestamp"].unique()))
    assert found == []
    assert asked > 0.95 * len(ledger)


def test_the_server_decides_as_the_backtest(url: str, bundle: Path, bars: pd.DataFrame, ledger: pd.DataFrame) -> None:
    model = TradingModel.load(bundle)
    stamps = sorted(ledger["timestamp"].unique())
    asked, found = differences(model, asking(url, model), bars, ledger, stamps[:: len(stamps) // 12])
    assert found == []
    assert asked > 12


def test_every_account_of_a_ledger_is_served(url: str, finished: Project, bundle: Path, bars: pd.DataFrame) -> None:
    """Spending all cash leaves some -1e-11 of it, which is rounding and no debt."""
    model = TradingModel.load(bundle)
    stamps = pd.DatetimeIndex(bars["timestamp"].unique()).sort_values()[-60:]
    constant = bars.loc[bars["timestamp"] >= stamps[0], ["timestamp", "symbol"]].assign(constant=np.float32(0))
    market = Market.from_tables(bars, constant).between(stamps[0], None)
    generator = np.random.default_rng(0)

    def spend(observations: np.ndarray, symbols: np.ndarray, bar: int) -> np.ndarray:
        return generator.choice([1.0, -1.0, 0.0], len(symbols))

    ledger = simulate(spend, market, in_weights(model.trading)).to_frame()
    assert (ledger["cash"] < 0).any()
    for stamp in stamps[::6]:
        sent = history(bars, stamp, model.required_bars)
        accounts = [
            row for row in ledger[ledger["timestamp"] == stamp].itertuples() if row.symbol in set(sent["symbol"])
        ]
        params = as_parameters(model, 0.0, {row.symbol: account_of(row) for row in accounts}, {})
        status, answer = ask(url, sent, params)
        assert status == 200, answer


@pytest.mark.parametrize("requests", [400, pytest.param(10_000, marks=pytest.mark.slow)])
def test_concurrent_requests_get_their_own_answers(url: str, bundle: Path, bars: pd.DataFrame, requests: int) -> None:
    """Eight clients; each request is for one of several bars and accounts, and its answer is known beforehand."""
    required = TradingModel.load(bundle).required_bars
    stamps = bars["timestamp"].unique()[-40::8]
    bodies = [(history(bars, stamp, required), {"cash_per_symbol": 1000.0 * (1 + n)}) for n, stamp in enumerate(stamps)]
    expected = [ask(url, *body) for body in bodies]
    assert all(status == 200 for status, _ in expected)
    assert len({json.dumps(answer) for _, answer in expected}) == len(bodies), "the answers can be told apart"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: ask(url, *bodies[n % len(bodies)]), range(requests)))
    assert sum(answer != expected[n % len(bodies)] for n, answer in enumerate(answers)) == 0


def test_concurrent_decisions_in_one_process(bundle: Path, ledger: pd.DataFrame, bars: pd.DataFrame) -> None:
    model = TradingModel.load(bundle)
    stamps = bars["timestamp"].unique()[-40::8]
    sent = [history(bars, stamp, model.required_bars) for stamp in stamps]
    expected = [model.decide(table, 1e5, {}) for table in sent]
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda n: model.decide(sent[n % len(sent)], 1e5, {}), range(200))
        assert all(answer.equals(expected[n % len(sent)]) for n, answer in enumerate(answers))


def test_an_answer_has_its_parts(url: str, bundle: Path, bars: pd.DataFrame) -> None:
    model = TradingModel.load(bundle)
    status, answer = ask(url, history(bars, bars["timestamp"].max(), model.required_bars), {"cash_per_symbol": 5000})
    assert status == 200
    assert [row["symbol"] for row in answer] == sorted(bars["symbol"].unique())
    for row in answer:
        targets = np.array(model.trading.targets, np.float32).tolist()
        assert row["action"] in (list(Action.__members__) if model.trading.scheme == "discrete" else targets)
        assert row["order_shares"] == row["target_position"]
        assert row["p_fall"] + row["p_stationary"] + row["p_rise"] == pytest.approx(1, abs=1e-5)
        assert 0 <= row["uncertainty"] <= 1
        assert row["bundle"] == verify_bundle(bundle)
        close = bars[bars["symbol"] == row["symbol"]]["close"].iloc[-1]
        assert abs(row["target_position"]) * close <= 5000


def test_without_cash_nothing_is_bought(url: str, bundle: Path, bars: pd.DataFrame) -> None:
    required = TradingModel.load(bundle).required_bars
    status, answer = ask(url, history(bars, bars["timestamp"].max(), required), {"cash_per_symbol": 0})
    assert status == 200
    assert all(row["target_position"] == 0 for row in answer), answer


@pytest.mark.parametrize(
    ("spoil", "params", "words"),
    [
        (lambda b, n: b.drop(columns="close"), None, ["close"]),
        (lambda b, n: b.groupby("symbol").tail(n - 1), None, ["at least", "bars of each symbol"]),
        (lambda b, n: b.iloc[::-1], None, ["sorted"]),
        (lambda b, n: pd.concat([b, b.tail(1)]), None, ["one bar a timestamp"]),
        (lambda b, n: b.assign(close=b["close"].where(b.index != b.index[3])), None, ["close", "finite"]),
        (lambda b, n: b.assign(open=-b["open"]), None, ["open must be positive"]),
        (lambda b, n: b[b["symbol"] == "IBM"], None, ["AAPL", "missing"]),
        (lambda b, n: b.head(0), None, ["no row"]),
        (lambda b, n: b.assign(timestamp="yesterday"), None, ["timestamp", "ISO 8601"]),
        (lambda b, n: b.assign(symbol=b["symbol"].where(b.index != b.index[3], None)), None, ["symbol"]),
        (lambda b, n: b.assign(symbol=b["symbol"].where(b.index != b.index[3], "")), None, ["symbol must be given"]),
        (lambda b, n: b, {"leverage": 3}, ["unknown parameter 'leverage'", "cash_per_symbol, positions"]),
        (lambda b, n: b, {"cash": 100_000}, ["unknown parameter 'cash'", "send cash_per_symbol"]),
        (lambda b, n: b, {"cash_per_symbol": -1}, ["cash_per_symbol: expected", "at least 0"]),
        (lambda b, n: b, {"positions": '{"IBM": {"shares": 1, "entry_price": 0}}'}, ["entry_price", "greater than 0"]),
        (lambda b, n: b, {"positions": '{"IBM": {"shares": 1, "holding_bars": -5}}'}, ["holding_bars"]),
        (lambda b, n: b, {"positions": '{"IBM": {"shares": -9000, "cash": 1}}'}, ["IBM", "equity must be positive"]),
        (lambda b, n: b, {"positions": '{"IBM": {"shares": 10, "cash": -5}}'}, ["IBM", "cash of at least 0", "-5"]),
        (lambda b, n: b, {"positions": "[1]"}, ["positions"]),
        (lambda b, n: b, {"positions": '{"IBM": {"share": 1}}'}, ["share", "did you mean"]),
        (lambda b, n: b, {"positions": '{"XYZ": 1}'}, ["XYZ"]),
    ],
    ids=[
        "missing column",
        "too few bars",
        "unsorted",
        "duplicate",
        "not finite",
        "negative",
        "universe",
        "empty",
        "time",
        "null symbol",
        "empty symbol",
        "unknown parameter",
        "cash of a portfolio",
        "negative cash",
        "entry price of nothing",
        "negative time",
        "no equity",
        "debt",
        "positions no object",
        "positions unknown key",
        "positions unknown symbol",
    ],
)
def test_a_bad_request_is_answered_with_400_and_a_sentence(
    url: str, bundle: Path, bars: pd.DataFrame, spoil: Any, params: dict[str, Any] | None, words: list[str]
) -> None:
    required = TradingModel.load(bundle).required_bars
    good = history(bars, bars["timestamp"].max(), required)
    status, message = ask(url, spoil(good, required), params)
    assert status == 400, message
    assert all(word in message for word in words), message
    assert "Traceback" not in message
    assert len(message) < 300, "the sentence and no more"
    assert "\n" not in message


def test_more_history_and_other_symbols_change_no_decision(bundle: Path, bars: pd.DataFrame) -> None:
    model = TradingModel.load(bundle)
    until = bars["timestamp"].max()
    short = model.decide(history(bars, until, model.required_bars), 1e5, {}).set_index("symbol")
    long = model.decide(history(bars, until, model.required_bars + 80), 1e5, {}).set_index("symbol")
    extra = bars[bars["symbol"] == "IBM"].assign(symbol="ZZZ", high=lambda b: b["high"] * 1.5)
    more = model.decide(history(pd.concat([bars, extra]), until, model.required_bars), 1e5, {}).set_index("symbol")
    pd.testing.assert_frame_equal(long, short, check_exact=True)
    pd.testing.assert_frame_equal(more.drop("ZZZ"), short, check_exact=True)


def test_nothing_in_the_registered_model_can_execute(model_folder: Path, url: str) -> None:
    # Looked at after a server has worked from it, which may have left something.
    # MLflow writes its own description and requirements; the code is the package's, with the report's templates.
    described = {"MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt", "input_example.json",
                 "serving_input_example.json", "serving_model.py", "registered_model_meta"}  # fmt: skip
    for path in (p for p in model_folder.rglob("*") if p.is_file()):
        inside = path.relative_to(model_folder)
        if "__pycache__" in inside.parts:
            assert path.suffix == ".pyc", inside
        elif inside.parts[0] == "code":
            assert path.suffix == ".py" or inside.parts[-2] == "templates"
        elif inside.parts[0] == "artifacts":
            assert path.suffix in {".json", ".safetensors"}, inside
        else:
            assert path.name in described, inside
        head = path.read_bytes()[:4]
        # Pickles of protocol 2 and up begin so, and so do the archives that carry them.
        assert not (head[:1] == b"\x80" and b"\x02" <= head[1:2] <= b"\x05"), inside
        assert not head.startswith(b"PK"), inside


def test_requirements_are_exact(model_folder: Path) -> None:
    lines = (model_folder / "requirements.txt").read_text().split()
    assert lines
    assert all(line.count("==") == 1 for line in lines), lines


def test_an_altered_bundle_is_refused(bundle: Path, tmp_path: Path) -> None:
    metadata = read_json(bundle / "metadata.json")
    names = [p.name for p in bundle.iterdir() if p.name not in {MANIFEST, "metadata.json"}]
    identity = build_bundle(tmp_path / "copy", {name: bundle / name for name in names}, metadata)
    assert identity == verify_bundle(bundle), "the same content has the same identity"
    weights = tmp_path / "copy" / "agent" / "policy.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(Exception, match=r"agent/policy\.safetensors"):
        TradingModel.load(tmp_path / "copy")


def test_a_file_that_is_not_data_keeps_out_of_the_bundle(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(b"\x80\x04N.")
    with pytest.raises(Exception, match=r"model\.pkl"):
        build_bundle(tmp_path / "bundle", {"model.pkl": tmp_path / "model.pkl"}, {})
    assert not (tmp_path / "bundle").exists()


def test_input_example_is_a_request_that_works(model_folder: Path, bundle: Path) -> None:
    example = json.loads((model_folder / "input_example.json").read_text())
    bars = pd.DataFrame(example["data"], columns=example["columns"])
    assert list(bars.columns) == list(COLUMNS)
    assert len(TradingModel.load(bundle).decide(bars, 1e5, {})) == bars["symbol"].nunique()
    assert np.isfinite(bars["close"]).all()


def test_a_bundle_traded_again_gives_its_own_backtest(finished: Project, bundle: Path, bars: pd.DataFrame) -> None:
    """So a champion can be compared over any span: what it earned is recomputed, not remembered."""
    splits = Splits.from_dict(read_json(finished.folder / "data/processed/splits.json"))
    params = load_params(finished.folder / "params.yaml")
    ledger = TradingModel.load(bundle).backtest(bars, splits.test, params.trading)
    metrics = read_json(finished.folder / "reports/backtest/report.json")["metrics"]["agent"]
    clock = read_json(finished.folder / "data/processed/clock.json")
    assert performance(ledger, clock["bars_per_year"]) == metrics
