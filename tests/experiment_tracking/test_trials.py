"""The ledger of trials: distinct candidates, counted once whatever happens while they are recorded."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from MLOps.config.tracking import TrackingConfig
from MLOps.errors import UserError
from MLOps.experiment_tracking.runs import Runs
from MLOps.experiment_tracking.store import connect
from MLOps.experiment_tracking.trials import IDENTITY, SUFFIX, Trial, Trials
from tests.project import ROOT

DAILY = pd.date_range("2020-01-01", periods=250, freq="B", tz="UTC")


@pytest.fixture
def config(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> TrackingConfig:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return TrackingConfig(uri=f"sqlite:///{tmp_path}/mlflow.db", experiment="t", registered_model="m")


def trial(seed: int, times: pd.DatetimeIndex = DAILY, candidate: str | None = None) -> Trial:
    return Trial.of(times, np.random.default_rng(seed).normal(0, 0.01, len(times)), candidate)


@pytest.mark.parametrize(
    "times",
    [
        DAILY,
        pd.date_range("2021-03-28", periods=700, freq="h", tz="UTC"),
        pd.date_range("2022-01-03 14:30", periods=3000, freq="5min", tz="UTC").delete(slice(500, 700)),
        pd.date_range("2020-01-01", periods=1, tz="UTC"),
    ],
)
def test_returns_come_back_to_the_last_bit(config: TrackingConfig, times: pd.DatetimeIndex) -> None:
    recorded = trial(1, times)
    assert Trials(config).record(recorded)
    (read,) = Trials(config).all()
    assert (read.identity, read.candidate) == (recorded.identity, recorded.candidate)
    assert read.timestamps.dtype == recorded.timestamps.dtype == np.dtype("datetime64[ns]")
    assert read.timestamps.tobytes() == recorded.timestamps.tobytes()
    assert read.returns.tobytes() == recorded.returns.tobytes()


def test_a_trial_is_its_content_whatever_form_it_comes_in() -> None:
    values = np.array([0.01, 0.0, -0.02])
    times = DAILY[:3]
    same = [
        Trial.of(times, values),
        Trial.of(times.as_unit("us"), pd.Series(values)),
        Trial.of(times.tz_localize(None).to_numpy(), [0.01, -0.0, -0.02]),
        Trial.of(times.tz_convert("America/New_York"), values),
        Trial.of(pd.Series(times), values),
    ]
    assert len({one.identity for one in same}) == 1
    other = [
        Trial.of(times, np.nextafter(values, 1)),
        Trial.of(times + pd.Timedelta(1, "ns"), values),
        Trial.of(times[:2], values[:2]),
    ]
    assert len({one.identity for one in [same[0], *other]}) == 4
    for bad in ([0.01, np.nan, 0.0], [0.01, np.inf, 0.0], [0.01, 0.0]):
        with pytest.raises(ValueError, match="expected finite returns"):
            Trial.of(times, bad)
    with pytest.raises(ValueError, match="ascending"):
        Trial.of(times[::-1], values)


def test_each_distinct_candidate_counts_once(config: TrackingConfig) -> None:
    """Against a set: the same in any order, however often, by whichever object."""
    order = np.random.default_rng(0).integers(0, 5, 20)
    known: set[str] = set()
    for seed in order:
        new = trial(int(seed))
        assert Trials(config).record(new) == (new.identity not in known)
        known.add(new.identity)
        assert Trials(config).count() == len(known)
    assert {one.candidate for one in Trials(config).all()} == known


def test_trials_come_in_the_order_of_their_first_recording(config: TrackingConfig) -> None:
    made = [trial(seed) for seed in (3, 1, 2)]
    for one in made:
        Trials(config).record(one)
    longer = trial(9, pd.date_range("2018-01-01", periods=600, freq="B", tz="UTC"), made[0].candidate)
    Trials(config).record(longer)
    assert [one.candidate for one in Trials(config).all()] == [one.candidate for one in made]
    assert len(Trials(config).all()[0].returns) == 600


def test_a_longer_record_of_a_candidate_is_no_other_trial(config: TrackingConfig) -> None:
    on_test = trial(1)
    longer = trial(2, DAILY[:1].union(pd.date_range("2018-01-01", periods=600, freq="B", tz="UTC")), on_test.candidate)
    assert longer.identity != on_test.identity
    for one in (on_test, longer, on_test):
        Trials(config).record(one)
    (read,) = Trials(config).all()
    assert read.candidate == on_test.candidate
    assert len(read.returns) == len(longer.returns)
    assert Trials(config).count() == 1


def test_trials_are_apart_from_the_runs_of_stages_and_of_other_experiments(config: TrackingConfig) -> None:
    Trials(config).record(trial(1))
    other = TrackingConfig(uri=config.uri, experiment="other", registered_model="m")
    assert Trials(other).count() == 0
    assert Runs(config).client.search_runs([Runs(config).experiment_id]) == []


# Records two trials of these seeds; kills itself at the call of the client's method that is named, before or after it.
RECORD = """
import os, sys
import numpy as np, pandas as pd
from MLOps.experiment_tracking.retries import RetryingClient
from MLOps.config.tracking import TrackingConfig
from MLOps.experiment_tracking.trials import Trial, Trials
uri, seeds, method, when = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4]
trials = Trials(TrackingConfig(uri=uri, experiment="t", registered_model="m"))
if method:
    original = getattr(RetryingClient, method)
    def killed(*arguments, **named):
        if when == "after":
            original(*arguments, **named)
        os.kill(os.getpid(), 9)
    setattr(RetryingClient, method, killed)
times = pd.date_range("2020-01-01", periods=250, freq="B", tz="UTC")
for seed in map(int, seeds.split(",")):
    trials.record(Trial.of(times, np.random.default_rng(seed).normal(0, 0.01, 250)))
"""


def recording(config: TrackingConfig, seeds: str, method: str = "", when: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RECORD, config.uri, seeds, method, when],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_kill_at_any_point_leaves_one_trial_after_the_retry(config: TrackingConfig) -> None:
    points = [
        ("create_run", "before"),
        ("create_run", "after"),
        ("log_artifact", "after"),
        ("set_terminated", "before"),
    ]
    for seed, (method, when) in enumerate(points):
        process = recording(config, str(seed), method, when)
        assert process.wait() == -9
        assert Trials(config).count() in (seed, seed + 1)
        Trials(config).record(trial(seed))
        assert Trials(config).count() == seed + 1
    assert len(Trials(config).all()) == len(points)
    client, experiment = connect(config, SUFFIX)
    runs = client.search_runs([experiment])
    assert {run.info.status for run in runs if IDENTITY not in run.data.tags} == {"KILLED"}
    assert "RUNNING" not in {run.info.status for run in runs}, "what a kill left behind is ended"


def test_recording_at_once_leaves_the_distinct_trials(config: TrackingConfig) -> None:
    Trials(config)
    processes = [recording(config, "1,2,3"), recording(config, "1,2,3"), recording(config, "3,2,1")]
    for process in processes:
        assert process.communicate()[1] == ""
        assert process.returncode == 0
    assert {one.identity for one in Trials(config).all()} == {trial(seed).identity for seed in (1, 2, 3)}
    assert Trials(config).count() == 3


def test_a_damaged_or_missing_trial_is_told_in_words(config: TrackingConfig, tmp_path: Path) -> None:
    Trials(config).record(trial(1))
    client, experiment = connect(config, SUFFIX)
    (run,) = client.search_runs([experiment])
    (file,) = tmp_path.rglob("returns.safetensors")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match=f"{run.info.run_id} cannot be read: its returns are not those"):
        Trials(config).all()
    file.unlink()
    with pytest.raises(UserError, match=f"{run.info.run_id} cannot be read: .*; restore .* delete the run"):
        Trials(config).all()
    assert Trials(config).count() == 1, "a file that is missing does not make the count smaller"
    client.delete_run(run.info.run_id)
    assert Trials(config).all() == []


def test_a_copy_of_the_workspace_by_dvc_records_in_the_workspaces_own_store(
    config: TrackingConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrackingConfig(uri="sqlite:///mlflow.db", experiment="t", registered_model="m")
    for number, copy in enumerate([".dvc/tmp/exps/tmp1", ".dvc/tmp/exps/standalone/tmp2", "."]):
        folder = tmp_path / copy
        folder.mkdir(parents=True, exist_ok=True)
        monkeypatch.chdir(folder)
        monkeypatch.setenv("DVC_ROOT", str(tmp_path))
        monkeypatch.setenv("DVC_EXP_NAME", f"exp{number}")
        Trials(config).record(trial(number))
        assert [p.name for p in folder.iterdir()] == [] or copy == "."
    assert Trials(config).count() == 3
    assert len(Trials(config).all()) == 3, "the files outlive the copies"
    client, experiment = connect(config, SUFFIX)
    names = {run.data.tags["experiment"] for run in client.search_runs([experiment])}
    assert names == {"exp0", "exp1", "exp2"}
