"""Searches in one PostgreSQL database: as in a file of their own, beside each other and after kills."""

import multiprocessing
import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from MLOps.config.execution import ExecutionConfig
from MLOps.config.search import PredictorSearchConfig
from MLOps.errors import UserError
from MLOps.execution.executor import executor
from MLOps.training.search import Finished, OnEpoch, Search
from tests.team_servers import postgres
from tests.training.test_search import SPACE, killed_once, pretend, searched

pytestmark = [pytest.mark.team, pytest.mark.slow]
TRIALS = 12


def slowly(folder: Path, values: dict[str, Any], on_epoch: OnEpoch) -> None:
    time.sleep(3)  # so that the two runs that are killed finish two batches at most
    pretend(folder, values, on_epoch)


def search(url: str, train: Any = pretend, kill_worker: Path | None = None) -> list[Finished]:
    told: list[Finished] = []
    config = PredictorSearchConfig(trials=TRIALS, spaces={"lstm": SPACE}, batch_trials=4)
    with executor(ExecutionConfig(kind="processes", workers=4), threads=1) as run:
        train = partial(killed_once, kill_worker) if kill_worker else train
        Search("study", config, "lstm", url, seed=7).run(TRIALS, train, Path("unused"), told.append, run)
    return told


@pytest.mark.parametrize("drivers", [1, 2])
def test_a_database_gives_what_a_file_gives(drivers: int, tmp_path: Path) -> None:
    """Several processes search one study with four workers each; a worker is killed, and so are processes."""
    pytest.importorskip("psycopg", reason="needs `pip install -r requirements-team.txt`")
    _, expected = searched(tmp_path, TRIALS, batch_trials=4)
    spawned = multiprocessing.get_context("spawn")
    with postgres() as address:
        url = f"postgresql+psycopg://{address}"
        for seconds in (7, 8):
            running = [spawned.Process(target=search, args=(url, slowly)) for _ in range(drivers)]
            for process in running:
                process.start()
            time.sleep(seconds)
            for process in running:
                assert process.pid is not None
                os.kill(process.pid, signal.SIGKILL)
                process.join()
        assert search(url, kill_worker=tmp_path / "killed") == expected
        assert (tmp_path / "killed").exists()
        assert search(url) == expected
    with pytest.raises(UserError, match=r"mlflow:\*\*\*@127.0.0.1:\d+/mlflow: expected a database of Optuna studies"):
        search(url)
