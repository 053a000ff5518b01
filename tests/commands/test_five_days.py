"""Five days after a promotion: new bars come, the model is monitored and retrained, on remotes that a team shares."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from MLOps.commands.servers import free_port
from MLOps.data.bars import PRICES
from tests.data import markets
from tests.project import Project, environment
from tests.servers import running

DAYS = 120
SCHEDULED, DRIFTS = 3, 5  # days after the promotion
UNREST = 6.0  # returns on the day that drifts, as a multiple of the usual ones


@contextmanager
def tracking_server(folder: Path) -> Iterator[str]:
    """The address of an MLflow server with its database and artifacts in `folder`."""
    url = f"http://127.0.0.1:{free_port()}"
    folder.mkdir()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += [
        "--artifacts-destination",
        str(folder / "artifacts"),
        "--port",
        url.rpartition(":")[2],
        "--workers",
        "1",
    ]
    with running(command, f"{url}/health", folder, environment()):
        yield url


def market() -> tuple[pd.DataFrame, list[pd.Timestamp]]:
    """Hourly bars, the last day with larger returns, and the ends of the last six days."""
    bars = markets.hourly_crypto(0, days=DAYS)
    ends = [bars["timestamp"].min() + pd.Timedelta(days=DAYS - back) for back in range(5, -1, -1)]
    for symbol, own in bars.groupby("symbol"):
        late = (bars["symbol"] == symbol) & (bars["timestamp"] >= ends[-2])
        before = own.loc[own["timestamp"] < ends[-2], "close"].iloc[-1]
        bars.loc[late, list(PRICES)] = before * np.exp(UNREST * np.log(bars.loc[late, list(PRICES)] / before))
    return bars, ends


def subjects(repository: Path, count: int) -> list[str]:
    """Of the newest commits."""
    log = ["git", "-C", str(repository), "log", "--format=%s", f"-{count}"]
    return subprocess.run(log, capture_output=True, text=True, check=True).stdout.splitlines()


def second_machine(origin: Path, folder: Path, url: str) -> set[str]:
    """The stages that run in a clone after `dvc pull`."""
    clone = Project(folder)
    subprocess.run(["git", "clone", "--quiet", str(origin), str(folder)], check=True)
    clone.run("dvc", "pull")
    output = clone.run("dvc", "repro", variables={"MLFLOW_TRACKING_URI": url}).stdout
    return {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}


@pytest.mark.slow
def test_five_days_of_new_bars(own: Project, tmp_path: Path) -> None:
    """The routine of the workflow `retrain`: on schedule, and on other days where the monitor advises it."""
    bars, ends = market()
    source = own.folder / "data/bars.csv"
    origin = tmp_path / "origin.git"

    def arrive(day: int) -> None:
        bars[bars["timestamp"] < ends[day]].to_csv(source, index=False)

    with tracking_server(tmp_path / "server") as url:
        client = MlflowClient(url)
        variables = {"MLFLOW_TRACKING_URI": url}

        def retrain() -> str:
            return own.run("MLOps", "retrain", "--push", variables=variables).stdout

        def versions() -> list[str]:
            return sorted(version.version for version in client.search_model_versions("name = 'trading-agent'"))

        arrive(0)
        own.set(data__source="csv", data__csv__path="data/bars.csv")
        own.run("dvc", "remote", "add", "--default", "shared", str(tmp_path / "shared"))
        own.commit()
        own.git("init", "--quiet", "--bare", str(origin))
        own.git("remote", "add", "origin", str(origin))
        own.git("push", "--quiet", "--set-upstream", "origin", "HEAD")
        assert "### Headlines beside HEAD" in retrain()
        own.run("MLOps", "promote", "1", "--reason", "first", variables=variables)

        statuses = {}
        for day in range(1, 6):
            arrive(day)
            asked = ["MLOps", "monitor", "--now", ends[day].isoformat()[:16], "--json"]
            done = own.run(*asked, check=False, variables=variables)
            report = json.loads(done.stdout)
            assert report["newest"] == bars.loc[bars["timestamp"] < ends[day], "timestamp"].max().isoformat()
            statuses[day] = done.returncode
            if day == SCHEDULED or done.returncode == 3:
                assert "### Gate" in retrain()
                assert (own.folder / "reports/retraining.md").is_file()
        assert statuses == {day: 3 if day == DRIFTS else 0 for day in statuses}
        assert versions() == ["1", "2", "3"]
        run = client.get_run(str(client.get_model_version("trading-agent", "1").run_id))
        assert run.data.metrics["drift"] == 1.0

        newest = [(ends[day] - pd.Timedelta(hours=1)).isoformat()[:10] for day in (DRIFTS, SCHEDULED, 0)]
        assert [line.split(":")[0] for line in subjects(origin, 3)] == [
            f"Retrain on bars until {day}" for day in newest
        ]

        nothing = own.run("MLOps", "retrain", variables=variables)
        assert "Parameters: as they were." in nothing.stdout
        code = own.folder / "MLOps/faults.py"
        code.write_text(code.read_text() + "\n")
        refused = own.run("MLOps", "retrain", check=False, variables=variables)
        assert "MLOps/faults.py: expected no change but those of a retraining" in refused.stderr
        own.git("checkout", "--quiet", "MLOps")

        assert second_machine(origin, tmp_path / "clone", url) <= {"prepare", "choose_agent", "promote"}
        assert versions() == ["1", "2", "3"], "one bundle is one version, whoever registers it"
        assert "RUNNING" not in {run.info.status for run in client.search_runs(["1"])}
