"""Several processes on one store: what the database refuses is tried again, and a content is registered once."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from MLOps.commands.servers import free_port
from MLOps.config.tracking import TrackingConfig
from MLOps.experiment_tracking.record import Record
from MLOps.experiment_tracking.runs import Runs
from MLOps.model_registry.versions import BUNDLE_TAG, CANDIDATE, CHAMPION, FILES_TAG, Registry, model_files
from MLOps.operations.champions import history, set_champion
from tests.project import ROOT, environment
from tests.servers import running
from tests.team_servers import postgres

AT_ONCE = 8


@pytest.fixture
def tracking(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> TrackingConfig:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "dvc.yaml"):  # a run logs them
        shutil.copy2(ROOT / name, name)
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return TrackingConfig(uri=f"sqlite:///{tmp_path}/mlflow.db", experiment="t", registered_model="m")


def at_once(act: Callable[[int], Any], times: int = AT_ONCE) -> list[Any]:
    """The results of `act(0)`, `act(1)`, …, which begin together in threads."""
    barrier = Barrier(times)

    def begin(number: int) -> Any:
        barrier.wait()
        return act(number)

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(begin, range(times)))


def logged_model(runs: Runs, name: str) -> str:
    """The URI of a logged model whose only file holds `name`."""
    model = runs.client.create_logged_model(runs.experiment_id, name=name)
    file = Path(f"{name}.txt")
    file.write_text(name)
    runs.client.log_model_artifact(model.model_id, str(file), "artifacts")
    runs.client.finalize_logged_model(model.model_id, "READY")
    return f"models:/{model.model_id}"


def test_runs_that_use_the_same_data_end_well(tracking: TrackingConfig) -> None:
    runs = Runs(tracking)
    inputs = {f"data/{number}.parquet": f"{number:064d}" for number in range(20)}

    def one(number: int) -> str:
        record = Record(f"stage/{number}", Path("records") / str(number), {}, {}, inputs=inputs)
        run = runs.start(record)
        run.finish(record)
        return run.run_id

    ended = [runs.client.get_run(run_id) for run_id in at_once(one)]
    assert [run.info.status for run in ended] == ["FINISHED"] * AT_ONCE
    assert {len(run.inputs.dataset_inputs) for run in ended if run.inputs} == {len(inputs)}


def test_a_content_that_several_register_is_one_version(tracking: TrackingConfig) -> None:
    runs = Runs(tracking)
    registry = Registry(runs.client, "m")
    uris = [logged_model(runs, "same") for _ in range(AT_ONCE)]

    versions = at_once(lambda number: registry.register(uris[number], "identity"))

    assert len(set(versions)) == 1
    assert registry.versions() == registry.versions_of("identity") == [versions[0]]
    tags = registry.tags(versions[0])
    assert tags[BUNDLE_TAG] == "identity"
    assert registry.files(versions[0]), "its files are those that it was registered with"
    assert tags[FILES_TAG]


def test_an_older_version_with_other_files_does_not_count(tracking: TrackingConfig) -> None:
    runs = Runs(tracking)
    registry = Registry(runs.client, "m")
    harmed = logged_model(runs, "same")
    first = registry.register(harmed, "identity")
    (model_files(harmed, harmed) / "artifacts/same.txt").write_text("other")
    second = registry.register(logged_model(runs, "same"), "identity")
    assert (first, second) == ("1", "2")


def test_champions_set_at_once_leave_the_last_and_all_of_their_history(tracking: TrackingConfig) -> None:
    runs = Runs(tracking)
    registry = Registry(runs.client, "m")
    for number in range(AT_ONCE):
        registry.register(logged_model(runs, f"model{number}"), f"identity {number}")

    at_once(lambda number: set_champion(registry, str(number + 1), "Ann", f"reason {number + 1}"))

    changes = history(registry)
    assert sorted(int(change.version) for change in changes) == list(range(1, AT_ONCE + 1))
    assert {change.reason for change in changes} == {f"reason {number + 1}" for number in range(AT_ONCE)}
    assert registry.version_at(CHAMPION) == changes[-1].version


def test_one_version_made_champion_at_once_has_one_change(tracking: TrackingConfig) -> None:
    runs = Runs(tracking)
    registry = Registry(runs.client, "m")
    registry.register(logged_model(runs, "model"), "identity")
    at_once(lambda _: set_champion(registry, "1", "gate", "every check passed"))
    assert registry.version_at(CHAMPION) == "1"
    assert [change.version for change in history(registry)] == ["1"]


def test_a_clock_that_was_set_back_does_not_reorder_history(
    tracking: TrackingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = Runs(tracking)
    registry = Registry(runs.client, "m")
    for number in range(2):
        registry.register(logged_model(runs, f"model{number}"), f"identity {number}")
    set_champion(registry, "1", "Ann", "first")
    monkeypatch.setattr("MLOps.operations.champions.now", lambda: "2001-01-01T00:00:00.000")
    set_champion(registry, "2", "Bob", "second")
    assert [change.version for change in history(registry)] == ["1", "2"]
    assert registry.version_at(CHAMPION) == "2"


# Promotes the models that it is told, one a line.
PROMOTER = """
import sys
from MLOps.config.tracking import TrackingConfig
from MLOps.experiment_tracking.runs import Runs
from MLOps.model_registry.versions import Registry
from MLOps.operations.champions import set_champion
runs = Runs(TrackingConfig(uri=sys.argv[1], experiment="t", registered_model="m"))
print("ready", flush=True)
for line in sys.stdin:
    name, uri, identity = line.split()
    registry = Registry(runs.client, name)
    version = registry.register(uri, identity)
    registry.put_forward(version)
    set_champion(registry, version, "gate", identity)
    print("promoted", flush=True)
"""
PROMOTERS, CONTENTS, ROUNDS = 20, 4, 5


@pytest.fixture(
    params=["sqlite", *(pytest.param(kind, marks=pytest.mark.team) for kind in ("postgresql", "server on postgresql"))]
)
def shared(request: pytest.FixtureRequest, tracking: TrackingConfig, tmp_path: Path) -> Iterator[TrackingConfig]:
    """A store that many processes write to."""
    if request.param == "sqlite":
        yield tracking
        return
    pytest.importorskip("psycopg", reason="needs `pip install -r requirements-team.txt`")
    with postgres() as address, ExitStack() as servers:
        uri = f"postgresql+psycopg://{address}"
        if request.param == "server on postgresql":
            words = ["--artifacts-destination", str(tmp_path / "artifacts"), "--port", str(port := free_port())]
            variables = environment() | {"MLFLOW_BACKEND_STORE_URI": uri}
            command = [sys.executable, "-m", "mlflow", "server", "--workers", "2", *words]
            uri = f"http://127.0.0.1:{port}"
            servers.enter_context(running(command, f"{uri}/health", tmp_path, variables))
        yield replace(tracking, uri=uri)


def said(process: "subprocess.Popen[str]") -> str:
    """The next line of a process; its errors if it has ended."""
    assert process.stdout is not None
    return process.stdout.readline().strip() or process.communicate()[1]


@pytest.mark.slow
def test_twenty_processes_promote_at_once(shared: TrackingConfig) -> None:
    """Four bundles by five processes each, on a registered model that has no version yet, in each of five rounds."""
    variables = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    runs = Runs(shared)
    with ExitStack() as started:
        promoters = [
            started.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", PROMOTER, shared.uri],
                    env=variables,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(PROMOTERS)
        ]
        assert [said(promoter) for promoter in promoters] == ["ready"] * PROMOTERS
        for round_ in range(ROUNDS):
            name, identities = f"model{round_}", [f"{round_}-{number % CONTENTS}" for number in range(PROMOTERS)]
            uris = [logged_model(runs, identity) for identity in identities]
            for promoter, uri, identity in zip(promoters, uris, identities, strict=True):
                assert promoter.stdin is not None
                promoter.stdin.write(f"{name} {uri} {identity}\n")
                promoter.stdin.flush()
            assert [said(promoter) for promoter in promoters] == ["promoted"] * PROMOTERS
            registry = Registry(runs.client, name)
            tags = [registry.tags(version) for version in registry.versions()]
            assert sorted(tag[BUNDLE_TAG] for tag in tags) == sorted(set(identities)), "each content is one version"
            assert registry.version_at(CANDIDATE) in registry.versions()
            changes = history(registry)
            assert registry.version_at(CHAMPION) == changes[-1].version
            assert {change.version for change in changes} == set(registry.versions())
