"""Champion and candidate behind one address, as `python -m MLOps serve` starts them, to a comparison in service."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from MLOps.commands.servers import free_port
from MLOps.deployment.candidate import is_in_share
from MLOps.deployment.trading_model import TradingModel
from MLOps.model_registry.versions import CANDIDATE, CHAMPION
from tests.agents.trainings import RULES
from tests.deployment.bundles import agent, bars, spans, stored
from tests.deployment.decisions import request_bars
from tests.deployment.server import ask
from tests.project import ROOT
from tests.servers import running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[TradingModel]]]:
    """A folder with params.yaml, bars and a store: its champion is version 1, its candidate version 2."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        made = stored(
            folder,
            patch,
            {CHAMPION: agent("ppo", RULES["weights"]), CANDIDATE: agent("ppo", RULES["weights"], steps=1024)},
        )
        (folder / "data/processed").mkdir(parents=True)
        bars().to_parquet(folder / "data/processed/bars.parquet", index=False)
        yield folder, made


def program(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "MLOps", *words], cwd=folder, env=variables, capture_output=True, text=True, check=True
    )


@contextmanager
def serving(folder: Path, **section: Any) -> Iterator[str]:
    """`python -m MLOps serve --alias champion` under a section `serving:`; the address of its pages."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    (folder / "params.yaml").write_text(yaml.safe_dump({**params, "serving": section}))
    address = f"http://127.0.0.1:{free_port()}"
    words = [sys.executable, "-m", "MLOps", "serve", "--alias", "champion", "--port", address.rpartition(":")[2]]
    # As Ctrl-C does: to all processes of the terminal. The candidate's server has a session of its own.
    with running(words, f"{address}/ping", folder, {**os.environ, "PYTHONPATH": str(ROOT)}, signal.SIGINT):
        yield address


def test_shadow_from_the_first_request_to_the_verdict(models: tuple[Path, list[TradingModel]]) -> None:
    folder, (champion, candidate) = models
    stamps = [pd.Timestamp(stamp) for stamp in sorted(bars()["timestamp"].unique()) if stamp >= spans()[1].start]
    with serving(folder, policy="shadow", record={"folder": "decisions"}) as url:
        health = json.load(urllib.request.urlopen(f"{url}/health"))
        assert (health["version"], health["candidate"]["version"]) == ("1", "2")
        for stamp in stamps:
            sent = request_bars(champion, bars(), stamp)
            status, answer = ask(f"{url}/invocations", sent, {"cash_per_symbol": 1e5})
            assert status == 200
            assert {row["bundle"] for row in answer} == {champion.identity}
            assert len(answer) == len(champion.decide(sent, 1e5, {}))
    said = json.loads(program(folder, "outcomes", "--json").stdout)
    assert (said["outcomes"], said["too_late"] + said["waiting"]) == (0, said["decisions"]), "the bars are replayed"
    # As if each had been sent at the close of its newest bar.
    for file in (folder / "decisions").glob("decisions-*.parquet"):
        table = pd.read_parquet(file)
        table.assign(time=table["timestamp"] + pd.Timedelta(hours=22)).to_parquet(file, index=False)
    said = json.loads(program(folder, "outcomes", "--json").stdout)
    assert said["outcomes"] == said["decisions"] - said["waiting"] > 0
    decisions = pd.concat([pd.read_parquet(file) for file in (folder / "decisions").glob("decisions-*.parquet")])
    assert decisions.groupby("role")["version"].unique().map(list).to_dict() == {"answered": ["1"], "shadow": ["2"]}
    assert said["decisions"] == len(decisions)
    assert len(decisions) / 2 == decisions.loc[decisions["role"] == "shadow"].shape[0]
    # The shadow decided what it would have answered.
    last = decisions[(decisions["timestamp"] == stamps[-1]) & (decisions["role"] == "shadow")].set_index("symbol")
    expected = candidate.decide(request_bars(candidate, bars(), stamps[-1]), 1e5, {}).set_index("symbol")
    pd.testing.assert_series_equal(last["target_position"].sort_index(), expected["target_position"].sort_index())
    found = json.loads(program(folder, "compare", "--live", "--json").stdout)
    assert (found["first"], found["second"], found["paired"]) == ("2", "1", True)
    # The last two bars have no outcome yet, and the day of the newest outcome is not over.
    assert found["days"] == len(stamps) - 3
    assert Path(folder / found["page"]).is_file()


def test_split_gives_each_account_its_own_version(models: tuple[Path, list[TradingModel]]) -> None:
    folder, (champion, candidate) = models
    sent = request_bars(champion, bars(), bars()["timestamp"].max())
    with serving(folder, policy="split", candidate_share=0.4) as url:
        for _ in range(2):
            for number in range(20):
                account = f"account {number}"
                status, answer = ask(f"{url}/invocations", sent, {"account": account})
                whose = candidate if is_in_share(account, 0.4) else champion
                assert status == 200
                assert {row["bundle"] for row in answer} == {whose.identity}
