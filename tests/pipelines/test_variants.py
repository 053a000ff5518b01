"""The real pipeline in configurations unlike the default: a labelled table; five classes; news beside the bars."""

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from MLOps.artifacts import read_json
from MLOps.deployment.trading_model import TradingModel
from MLOps.model_registry.versions import Registry
from MLOps.trading import Account, Action
from tests.pipelines.test_registered_predictors import check_registered
from tests.project import SMALL, Project

LSTM = {
    "lookback_bars": 4,
    "hidden_size": 16,
    "dropout": 0.0,
    "learning_rate": 0.01,
    "max_epochs": 8,
    "explain_windows": 16,
}


@pytest.mark.slow
def test_a_labelled_table_trains_predictors_and_skips_the_agents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project.copy(tmp_path)
    project.update(
        {
            "data.source": "labelled",
            "labels": {"kind": "target", "n_classes": 5, "horizon_rows": 1},
            "splits.folds": 3,
            **{f"predictors.lstm.{key}": value for key, value in LSTM.items()},
        }
    )
    output = project.run("dvc", "repro").stdout
    verdicts = {v["predictor"]: v for v in read_json(tmp_path / "reports/verdicts.json")["verdicts"]}
    # Both find what the table was made with; the lstm sees the row before, which counts too.
    assert verdicts["lstm"]["passed"]
    assert verdicts["logistic"]["passed"]
    signals = pd.read_parquet(tmp_path / "data/processed/signals.parquet")
    columns = [name for name in signals.columns if name.startswith("p_")]
    assert columns == ["p_score_-1", "p_score_-0.5", "p_score_0", "p_score_0.5", "p_score_1"]
    assert set(signals["class"]) == {0, 1, 2, 3, 4}
    assert "backtest: predictors only: a labelled table has no prices to trade" in output
    scored = read_json(tmp_path / "reports/backtest/predictors.json")["predictors"]
    assert set(scored) == {"lstm", "logistic", "ensemble"}
    for own in scored.values():
        assert own["scores"]["gain_over_class_prior"]["lower"] > 0
        assert own["by_year"] == {} and "implied_sharpe" not in own["scores"], "its rows have no times"
    page = (tmp_path / "reports/index.html").read_text()
    assert 'id="predictors"' in page and 'id="performance"' not in page
    assert "train_agent/ppo: nothing to do: a labelled table has no prices to trade" in output
    assert "no agent: a labelled table has no prices to trade" in output
    # Folders that dvc.yaml declares are there, and empty: nothing stands for what was not done.
    for folder in ("models/agents/ppo", "reports/metrics/train_agent/ppo"):
        assert list((tmp_path / folder).iterdir()) == []
    summary = project.run("MLOps", "summary").stdout
    assert "No agent, no backtest" in summary
    for name in ("lstm", "logistic"):
        assert f"trading-predictor-{name}: candidate is version 1, champion is version 1." in summary
    check_registered(project, monkeypatch)
    runs = project.client().search_runs([e.experiment_id for e in project.client().search_experiments()])
    stages = {run.data.tags["mlflow.runName"] for run in runs if "repro" not in run.data.tags}
    assert stages == {
        "ingest", "validate_data", "features", "train_predictor/lstm", "train_predictor/logistic",
        "validate_predictors", "backtest",
    }, "a stage that did nothing leaves no run"  # fmt: skip
    assert project.repro() == ["prepare", "choose_agent", "promote"]


@pytest.mark.slow
def test_five_classes_and_sentiment_reach_the_agent_and_the_served_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project.copy(tmp_path)
    project.update(
        {
            "data.sentiment.enabled": True,
            "features.names": ["return_1", "return_5", "volatility_20", "sentiment"],
            "agents.ppo.observe.features": ["return_1"],
            "labels": {"kind": "score", "n_classes": 5, "horizon_bars": 3, "volatility_bars": 20},
            "agents.ppo.total_timesteps": 4096,
            "agents.ppo.evaluate_every_steps": 4096,
            "agents.ppo.environments": 8,
            "agents.ppo.net_arch": [16],
            "backtest.random_draws": 20,
            "splits.folds": 3,
        }
    )
    project.keep_predictors("logistic")
    project.repro()
    columns = read_json(tmp_path / "models/agents/ppo/agent.json")["columns"]
    assert sum("_p_score_" in name for name in columns) == 5
    version = project.client().get_model_version_by_alias("trading-agent", "candidate")
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    model = TradingModel.load(Registry(project.client(), "trading-agent").bundle(str(version.version)))
    bars = pd.read_parquet(tmp_path / "data/processed/bars.parquet").groupby("symbol").tail(model.required_bars)
    decided = model.decide(bars, 1000.0, {})
    names = [name for name in decided.columns if name.startswith("p_score_")]
    assert len(names) == 5
    assert decided[names].sum(axis=1).tolist() == pytest.approx([1.0] * len(decided))

    served = mlflow.pyfunc.load_model("models:/trading-agent@candidate")
    request = bars.assign(timestamp=bars["timestamp"].map(lambda t: t.isoformat()))
    pd.testing.assert_frame_equal(served.predict(request, {"cash_per_symbol": 1000.0}), decided)
    with pytest.raises(mlflow.exceptions.MlflowException, match="sentiment"):
        served.predict(request.drop(columns=["sentiment", "sentiment_items"]))


@pytest.mark.slow
def test_an_agents_own_view_and_the_turbulence_stop_are_served_as_backtested(tmp_path: Path) -> None:
    project = Project.copy(tmp_path)
    stop = 0.9
    project.update(
        {
            **SMALL,
            "features.names": ["return_1", "return_5", "volatility_20", "turbulence"],
            "predictors.lstm.embedding_size": 3,
            "agents.ppo.observe": {
                "features": ["return_1", "turbulence_20"],
                "predictors": ["logistic", "ensemble"],
                "embeddings": ["lstm"],
                "fine_tuned": "lstm",
            },
            "validation.confidence": 0.999999,
            "trading.scheme": "discrete",
            "trading.turbulence_stop": stop,
            "trading.turbulence_feature": "turbulence_20",
            "splits.folds": 3,
        }
    )
    project.repro()
    # Neither predictor passed, and yet both are observed, as forecast.
    assert read_json(tmp_path / "reports/verdicts.json")["ensemble"]["members"] == []
    version = project.client().get_model_version_by_alias("trading-agent", "candidate")
    folder = Path(project.client().get_model_version_download_uri("trading-agent", version.version))
    model = TradingModel.load(folder / "artifacts" / "bundle")
    tables = ("bars", "features", "signals")
    bars, features, signals = (pd.read_parquet(tmp_path / f"data/processed/{name}.parquet") for name in tables)
    view = model.agent.view
    offline = view.observe(features, signals).set_index(["timestamp", "symbol"])
    assert offline.columns[-3:].tolist() == [f"lstm_embedding_{number}" for number in range(3)]
    assert (offline[["logistic_p_rise", "logistic_expected_return"]].std() > 0).all()

    ledger = pd.read_parquet(tmp_path / "reports/backtest/ledgers.parquet")
    ledger = ledger[(ledger["policy"] == "agent") & (ledger["actions"] >= 0)]
    stopped = 0
    for timestamp, asked in list(ledger.groupby("timestamp"))[::7]:
        sent = bars[bars["timestamp"] <= timestamp].groupby("symbol").tail(model.required_bars)
        sent = sent[sent.groupby("symbol")["close"].transform("size") >= model.required_bars]
        rows = asked[asked["symbol"].isin(sent["symbol"])]
        computed = model.pipeline.compute(sent)
        newest = (computed["timestamp"] == timestamp).to_numpy()
        served = view.observe(computed, model.signals(computed, newest)).set_index(["timestamp", "symbol"])
        pd.testing.assert_frame_equal(served, offline.loc[served.index], check_exact=True)
        accounts = {
            row.symbol: Account(row.cash, row.position, row.entry_price, int(row.holding_bars))
            for row in rows.itertuples()
        }
        answer = model.decide(sent, 0.0, accounts).set_index("symbol")
        assert answer["action"][rows["symbol"]].tolist() == [Action(action).name for action in rows["actions"]]
        level = features.loc[features["timestamp"] == timestamp, "turbulence_20"].max()
        if level >= stop:
            stopped += 1
            assert (answer["target_position"] == 0).all()
        else:
            assert (answer["target_position"] != 0).any() or (rows["position"] == 0).any()
    assert 0 < stopped < ledger["timestamp"].nunique() / 7
    # The backtest holds nothing after a bar at which the stop was reached.
    whole = pd.read_parquet(tmp_path / "reports/backtest/ledgers.parquet").query("policy == 'agent'")
    levels = features.groupby("timestamp")["turbulence_20"].max()
    before = whole.groupby("symbol")["timestamp"].shift().map(levels)
    assert (whole.loc[before >= stop, "position"] == 0).all()


@pytest.mark.slow
def test_a_table_without_targets_gets_a_submission(tmp_path: Path) -> None:
    project = Project.copy(tmp_path)
    scores = pd.read_csv(tmp_path / "data/sample/scores.csv.gz")
    learnt, asked = scores.head(len(scores) - 300), scores.tail(300)
    learnt.to_csv(tmp_path / "learn.csv", index=False)
    asked.drop(columns="target").to_csv(tmp_path / "asked.csv", index=False)
    project.update(
        {
            "data.source": "labelled",
            "data.labelled.path": "learn.csv",
            "data.labelled.test_path": "asked.csv",
            "labels": {"kind": "target", "n_classes": 5, "horizon_rows": 1},
            "splits.folds": 2,
        }
    )
    project.keep_predictors("logistic")
    project.update({"agents.ppo.observe.predictors": None})
    output = project.run("dvc", "repro").stdout
    assert "submission.csv: forecasts of 300 of 300 rows without a target" in output
    submitted = pd.read_csv(tmp_path / "reports/records/backtest/submission.csv")
    assert submitted["id"].tolist() == asked["id"].tolist()
    assert np.corrcoef(submitted["prediction"], asked["target"])[0, 1] > 0.2
    test = read_json(tmp_path / "data/processed/splits.json")["test"]
    assert pd.Timestamp(test["start"]) == pd.Timestamp(len(learnt), unit="m", tz="UTC")
