"""Data of unlike kinds, from `dvc repro` to a served answer, with nothing set but the source and its path.

Only the training is cut short. The files look as such files do: newest rows first, names and dates as exchanges write
them, one file a symbol.
"""

from collections.abc import Callable
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from MLOps.deployment.trading_model import TradingModel
from MLOps.model_registry.versions import Registry
from tests.data.markets import five_minutes_with_outages, hourly_crypto, one_symbol, thirty_stocks
from tests.deployment.decisions import agent_rows, differences, request_bars
from tests.project import SMALL, Project

SERVED_BARS = 8  # newest ones of the test span, each asked for


def hourly_crypto_newest_first(folder: Path) -> None:
    for symbol, own in hourly_crypto(11, symbols=2, days=130).groupby("symbol"):
        bars = own.iloc[::-1]
        table = pd.DataFrame(
            {
                "unix": [int(stamp.timestamp() * 1000) for stamp in bars["timestamp"]],
                "date": bars["timestamp"].dt.strftime("%Y-%m-%d %H:%M:%S"),
                "symbol": str(symbol).replace("-", "/"),
                **{name: bars[name] for name in ("open", "high", "low", "close")},
                f"Volume {str(symbol)[:2]}": bars["volume"],
                "Volume USD": bars["volume"] * bars["close"],
            }
        )
        table.to_csv(folder / f"Exchange_{symbol}_1h.csv", index=False)


def five_minute_bars_with_outages(folder: Path) -> None:
    five_minutes_with_outages(11, symbols=2, days=12).to_csv(folder / "all.csv", index=False)


def thirty_stocks_without_volume(folder: Path) -> None:
    """Some are listed late or end early; one is listed 40 bars before the end, one lived for 60 bars."""
    bars = thirty_stocks(11)
    late, short = bars[bars["symbol"] == "T02"].tail(40), bars[bars["symbol"] == "T03"].iloc[200:260]
    bars = pd.concat([bars[~bars["symbol"].isin(["T02", "T03"])], late, short])
    for symbol, own in bars.groupby("symbol"):
        table = own.drop(columns="symbol").rename(columns={"timestamp": "Date"}).assign(adjcp=own["close"])
        table.to_csv(folder / f"{symbol}.csv", index=False)


def hourly_bars_of_one_stock(folder: Path) -> None:
    one_symbol(11).to_csv(folder / "one.csv", index=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "write",
    [
        hourly_crypto_newest_first,
        five_minute_bars_with_outages,
        thirty_stocks_without_volume,
        hourly_bars_of_one_stock,
    ],
)
def test_what_is_served_is_what_was_backtested(
    write: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project.copy(tmp_path)
    (tmp_path / "mine").mkdir()
    write(tmp_path / "mine")
    project.update(SMALL)
    project.update({"data.source": "files", "data.files.path": "mine"})
    project.repro()

    monkeypatch.chdir(tmp_path)
    # Absolute, for MLflow keeps one connection for each name.
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    version = project.client().get_model_version_by_alias("trading-agent", "candidate")
    model = TradingModel.load(Registry(project.client(), "trading-agent").bundle(str(version.version)))
    bars = pd.read_parquet("data/processed/bars.parquet")
    ledger = pd.read_parquet("reports/backtest/ledgers.parquet")
    ledger = agent_rows(ledger, model.trading.scheme)
    newest = sorted(ledger["timestamp"].unique())[-SERVED_BARS:]
    # And the last bar of each symbol, whenever its life ended.
    stamps = sorted({*newest, *ledger.groupby("symbol")["timestamp"].max()})
    decided, found = differences(model, model.decide, bars, ledger, stamps)
    assert found == []
    assert decided >= SERVED_BARS

    served = mlflow.pyfunc.load_model("models:/trading-agent@candidate")
    last = request_bars(model, bars, bars["timestamp"].max())
    request = last.assign(timestamp=last["timestamp"].map(lambda stamp: stamp.isoformat()))
    pd.testing.assert_frame_equal(served.predict(request, {"cash_per_symbol": 1000.0}), model.decide(last, 1000.0, {}))
