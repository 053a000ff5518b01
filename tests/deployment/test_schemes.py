"""What is served is what is backtested, for every algorithm under every scheme."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.types import DataType

from MLOps.deployment.serving_logging import serving_signature
from MLOps.deployment.serving_model import ServingModel
from MLOps.deployment.trading_model import TradingModel
from MLOps.errors import UserError
from MLOps.model_registry.versions import CANDIDATE
from MLOps.trading import Account, Action
from tests.agents.trainings import CASES, RULES, suited
from tests.deployment.bundles import (
    WINDOW_BARS,
    agent,
    bars,
    fine_tuned_agent,
    pretrained,
    spans,
    stored,
    write_bundle,
)
from tests.deployment.decisions import agent_rows, as_parameters, differences, request_bars
from tests.deployment.server import asking, served

# Of these every bar is asked for, of other algorithms every fifth.
THOROUGH = ("ppo", "maskable_ppo", "recurrent_ppo")


# Each algorithm in the first rules that suit it, and two in all.
SERVED = [case for case in CASES if case[1] == suited(case[0]) or case[0] in ("ppo", "recurrent_ppo")]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], TradingModel]:
    made: dict[tuple[str, str], TradingModel] = {}

    def model(kind: str, rules: str) -> TradingModel:
        if (kind, rules) not in made:
            folder = tmp_path_factory.mktemp(f"{kind}_{rules}")
            made[kind, rules] = TradingModel.load(write_bundle(folder, agent(kind, RULES[rules])))
        return made[kind, rules]

    return model


def backtested(model: TradingModel) -> tuple[pd.DataFrame, list[pd.Timestamp]]:
    """The rows of the test span at which the agent was asked, and their bars."""
    ledger = agent_rows(model.backtest(bars(), spans()[1], model.trading).to_frame(), model.trading.scheme)
    return ledger, [pd.Timestamp(stamp) for stamp in sorted(ledger["timestamp"].unique())]


def serving(model: TradingModel) -> ServingModel:
    """The model behind the requests' parameters, without a server."""
    served = ServingModel()
    served._model = model
    return served


@pytest.mark.parametrize(("kind", "rules"), CASES)
def test_the_served_decision_is_the_backtests(kind: str, rules: str, models: Any) -> None:
    model = models(kind, rules)
    ledger, stamps = backtested(model)
    asked, found = differences(model, model.decide, bars(), ledger, stamps[:: 1 if kind in THOROUGH else 5])
    assert found == []
    assert asked > (100 if kind in THOROUGH else 20)


@pytest.mark.parametrize(("kind", "rules"), [("ppo", "targets"), ("sac", "portfolio")])
def test_the_served_decision_of_a_fine_tuned_network_is_the_backtests(kind: str, rules: str, tmp_path: Path) -> None:
    own = fine_tuned_agent(kind, RULES[rules])
    model = TradingModel.load(write_bundle(tmp_path, own))
    assert model.required_bars == model.pipeline.warmup_bars + WINDOW_BARS - 1
    ledger, stamps = backtested(model)
    asked, found = differences(model, model.decide, bars(), ledger, stamps[::3])
    assert found == []
    assert asked > 30
    # The decisions depend on the network: another one decides otherwise.
    other = replace(model, agent=replace(own, tuned=pretrained().predictor))
    assert differences(other, other.decide, bars(), ledger, stamps[::3])[1]
    # Without a bar of the window there is no decision.
    sent = request_bars(model, bars(), stamps[-1])
    with pytest.raises(UserError, match=f"expected at least {model.required_bars} bars of each symbol"):
        model.decide(sent.groupby("symbol").tail(model.required_bars - 1), 1e5, {})


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "rules"), SERVED)
def test_a_server_in_an_empty_folder_decides_as_the_backtest(
    kind: str, rules: str, models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = models(kind, rules)
    ledger, stamps = backtested(model)
    stored(tmp_path, monkeypatch, {CANDIDATE: model.agent})
    (tmp_path / "elsewhere").mkdir()
    with served(tmp_path / "mlflow.db", tmp_path / "elsewhere") as url:
        asked, found = differences(model, asking(url, model), bars(), ledger, stamps[:12])
    assert found == []
    assert asked > 30


@pytest.mark.parametrize("rules", RULES)
def test_a_request_carries_all_that_a_decision_depends_on(rules: str, models: Any) -> None:
    """Through JSON and MLflow's parameters nothing is lost; without the cash, the positions or the state it shows."""
    model = models("recurrent_ppo", rules)
    ledger, stamps = backtested(model)
    served, stamps = serving(model), stamps[:12]

    def ask(sent: Any, cash: float, positions: Any, states: Any, forget: str = "") -> pd.DataFrame:
        positions = {} if forget == "positions" else positions
        states = {} if forget == "state" else states
        request = sent.assign(timestamp=sent["timestamp"].map(lambda stamp: stamp.isoformat()))
        return served.predict(None, request, as_parameters(model, cash, positions, states))

    assert differences(model, ask, bars(), ledger, stamps)[1] == []
    if rules not in {"discrete", "targets"}:  # a choice among few may not show it
        for part in ("positions", "state"):
            assert differences(model, partial(ask, forget=part), bars(), ledger, stamps)[1]


@pytest.mark.parametrize("rules", ["portfolio", "shares"])
def test_a_portfolios_orders_are_paid_by_its_cash(rules: str, models: Any) -> None:
    model = models("ppo", rules)
    ledger, stamps = backtested(model)
    sold_and_bought = 0
    for stamp in stamps:
        sent = request_bars(model, bars(), stamp)
        closes = sent.groupby("symbol")["close"].last()
        rows = ledger[(ledger["timestamp"] == stamp) & (ledger["position"] != 0)]
        positions = {row.symbol: Account(0.0, row.position, row.entry_price, 1) for row in rows.itertuples()}
        cash = float(ledger.loc[ledger["timestamp"] == stamp, "cash"].iloc[0])
        answer = model.decide(sent, cash, positions).set_index("symbol")
        held = answer.index.map(lambda symbol, p=positions: p[symbol].shares if symbol in p else 0.0)
        orders, prices = answer["order_shares"].to_numpy(), closes[answer.index].to_numpy()
        np.testing.assert_array_equal(answer["target_position"], held.to_numpy(float) + orders)
        fill = prices * (1 + np.sign(orders) * model.trading.slippage_bps / 1e4)
        spent = (orders * fill).sum() + np.abs(orders * fill).sum() * model.trading.fee_bps / 1e4
        assert cash - spent >= -1e-6 * cash
        gross = np.abs(answer["target_position"] * prices).sum()
        assert gross <= (cash + (held.to_numpy(float) * prices).sum()) * (1 + 1e-9)
        sold_and_bought += (orders < 0).any() and (orders > 0).any()
    assert sold_and_bought or rules == "shares"


def test_symbols_outside_the_portfolio_change_nothing(models: Any) -> None:
    model = models("ppo", "portfolio")
    assert model.agent.symbols == ("S00", "S01", "S02", "S03")
    sent = request_bars(model, bars(), bars()["timestamp"].max())
    answer = model.decide(sent, 1e5, {})
    assert set(sent["symbol"]) == {"S00", "S01", "S02", "S03", "S04"} and "S04" not in set(answer["symbol"])
    # S02 has ended: its last bars are sent, and nothing is decided on it.
    assert list(answer["symbol"]) == ["S00", "S01", "S03"]
    later = sent[sent["symbol"] == "S04"].tail(1)
    later = later.assign(timestamp=later["timestamp"] + pd.Timedelta(days=1))
    more = pd.concat([sent, later]).sort_values(["symbol", "timestamp"], ignore_index=True)
    pd.testing.assert_frame_equal(model.decide(more, 1e5, {}), answer)
    pd.testing.assert_frame_equal(model.decide(sent[sent["symbol"] != "S04"], 1e5, {}), answer)


@pytest.mark.parametrize(
    ("kind", "rules", "params", "words"),
    [
        ("ppo", "portfolio", {"positions": '{"S04": 1}'}, "S04 is not in the portfolio of S00"),
        ("ppo", "portfolio", {"positions": '{"S00": {"shares": 1, "cash": 5}}'}, "send the parameter cash instead"),
        ("ppo", "portfolio", {"cash": -5.0}, "the portfolio's equity must be positive, found -5"),
        ("ppo", "portfolio", {"agent_state": "[1.0]"}, "agent_state: the agent is not recurrent"),
        ("ppo", "weights", {"positions": '{"S00": {"shares": 1, "state": [1]}}'}, "S00: state: the agent is not"),
        (
            "recurrent_ppo",
            "weights",
            {"positions": '{"S00": {"shares": 1, "state": [1]}}'},
            "expected 16 finite numbers",
        ),
        ("recurrent_ppo", "portfolio", {"agent_state": "[1.0]"}, "agent_state: expected 16 finite numbers"),
        ("recurrent_ppo", "portfolio", {"agent_state": '{"a": 1}'}, "agent_state: "),
        ("recurrent_ppo", "portfolio", {"agent_state": "x"}, "agent_state: expected JSON"),
    ],
)
def test_a_bad_account_is_told_in_a_sentence(kind: str, rules: str, params: Any, words: str, models: Any) -> None:
    model = models(kind, rules)
    with pytest.raises(MlflowException, match=words):
        serving(model).predict(None, request_bars(model, bars(), bars()["timestamp"].max()), params)


def test_a_portfolio_without_one_of_its_symbols_is_refused(models: Any) -> None:
    model = models("ppo", "portfolio")
    sent = request_bars(model, bars(), bars()["timestamp"].max())
    with pytest.raises(UserError, match="S01 missing"):
        model.decide(sent[sent["symbol"] != "S01"], 1e5, {})


@pytest.mark.parametrize(
    ("kind", "rules"), [("maskable_ppo", "discrete"), ("ppo", "targets"), ("recurrent_ppo", "portfolio")]
)
def test_the_signature_describes_the_answer(kind: str, rules: str, models: Any) -> None:
    model = models(kind, rules)
    sent = request_bars(model, bars(), bars()["timestamp"].max())
    answer, signature = model.decide(sent, 1e5, {}), serving_signature(model, sent.columns)
    assert signature.outputs.input_names() == list(answer.columns)
    action = signature.outputs.input_dict()["action"].type
    assert action == (DataType.string if rules == "discrete" else DataType.double)
    if rules == "discrete":
        assert set(answer["action"]) <= set(Action.__members__)
    names = [param.name for param in signature.params]
    assert names == [model.cash_parameter, "positions", "account", *(["agent_state"] if rules == "portfolio" else [])]
    assert all(len(json.loads(state)) == 16 for state in answer.get("agent_state", []))
