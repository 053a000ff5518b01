"""A portfolio of 29 stocks, some listed late or ended early, from `dvc repro` to the answers of a server."""

from pathlib import Path

import pandas as pd
import pytest

from MLOps.artifacts import read_json
from MLOps.deployment.trading_model import TradingModel
from tests.data.markets import thirty_stocks
from tests.deployment.decisions import agent_rows, differences
from tests.deployment.server import asking, served
from tests.project import SMALL, Project

TRADING = {"trading.account": "portfolio", "trading.episode_bars": 60}
SERVED_BARS = 10


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["weights", "shares"])
def test_what_is_served_of_a_portfolio_is_what_was_backtested(scheme: str, tmp_path: Path) -> None:
    project = Project.copy(tmp_path / "project")
    bars = thirty_stocks(11, volume=True)
    # T01 is the thirtieth; T02 is listed after the training span, and not in the portfolio.
    late = bars["timestamp"] < pd.Timestamp("2018-09-03", tz="UTC")
    bars = bars[(bars["symbol"] != "T01") & ~((bars["symbol"] == "T02") & late)]
    bars.to_csv(project.folder / "stocks.csv", index=False)
    project.update({**SMALL, **TRADING, "trading.scheme": scheme, "trading.allow_short": scheme == "weights"})
    project.update({"data.source": "files", "data.files.path": "stocks.csv"})
    project.keep_predictors("logistic")
    project.repro()

    report = read_json(project.folder / "reports/backtest/report.json")
    assert {"rebalanced_equal_weight", "inverse_volatility", "buy_and_hold"} <= set(report["metrics"])
    client = project.client()
    version = client.get_model_version_by_alias("trading-agent", "candidate")
    model_folder = Path(client.get_model_version_download_uri("trading-agent", version.version))
    model = TradingModel.load(model_folder / "artifacts" / "bundle")
    traded = set(bars["symbol"]) - {"T02"}
    assert set(model.agent.symbols) == traded and len(traded) == 28

    kept = pd.read_parquet(project.folder / "data/processed/bars.parquet")
    ledger = agent_rows(pd.read_parquet(project.folder / "reports/backtest/ledgers.parquet"), scheme)
    stamps = sorted(ledger["timestamp"].unique())
    asked, found = differences(model, model.decide, kept, ledger, stamps)
    assert found == []
    assert asked > 20 * len(stamps)
    (tmp_path / "elsewhere").mkdir()
    with served(project.folder / "mlflow.db", tmp_path / "elsewhere") as url:
        asked, found = differences(model, asking(url, model), kept, ledger, stamps[:: len(stamps) // SERVED_BARS])
    assert found == []
    assert asked > 20 * SERVED_BARS
