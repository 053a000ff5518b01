"""The search finds what there is to find, prunes, and goes on after a kill as if there had been none.

Neither the workers that compute its trials nor other processes that search the same study show in the result.
"""

import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from MLOps.config.execution import ExecutionConfig
from MLOps.config.schema import parse
from MLOps.config.search import HalvingConfig, NoPruningConfig, PredictorSearchConfig, SearchRange
from MLOps.errors import UserError
from MLOps.execution.contract import Map, in_turn
from MLOps.execution.executor import executor
from MLOps.training.search import Finished, OnEpoch, Search

SPACE = {
    "learning_rate": SearchRange(low=0.001, high=0.1, log=True),
    "hidden_size": SearchRange(low=4, high=64),
    "optimiser": SearchRange(choices=("adam", "adamw")),
    "filters": SearchRange(choices=(4, 8), lengths=(1, 3)),
    "kernels": SearchRange(choices=(3, 5, 7), lengths=(1, 3)),
}


def pretend(_: Path, values: dict[str, Any], on_epoch: OnEpoch) -> None:
    """A training that is best at a hidden size of 40, told over five epochs."""
    for epoch in range(1, 6):
        on_epoch(epoch, {"selection_loss": abs(values["hidden_size"] - 40) / 40 + values["learning_rate"] + 1 / epoch})


def searched(
    folder: Path, trials: int, train: Any = pretend, run: Map = in_turn, **settings: Any
) -> tuple[Search, list[Finished]]:
    told: list[Finished] = []
    config = PredictorSearchConfig(trials=trials, spaces={"lstm": SPACE}, **settings)
    search = Search("study", config, "lstm", folder / "search.db", seed=7)
    search.run(trials, train, folder / "checkpoints", told.append, run)
    return search, told


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Search, list[Finished]]:
    return searched(tmp_path_factory.mktemp("whole"), 14)


def test_values_lie_in_the_space_and_lists_have_one_length(uninterrupted: tuple[Search, list[Finished]]) -> None:
    search, trials = uninterrupted
    for trial in trials:
        assert 0.001 <= trial.values["learning_rate"] <= 0.1
        assert 4 <= trial.values["hidden_size"] <= 64 and isinstance(trial.values["hidden_size"], int)
        assert len(trial.values["filters"]) == len(trial.values["kernels"]) in (1, 2, 3)
    best = min((trial for trial in trials if not trial.pruned), key=lambda trial: trial.loss)
    assert search.best() == best.values
    assert max(search.importances(), key=search.importances().__getitem__) == "hidden_size"


def test_the_median_prunes(uninterrupted: tuple[Search, list[Finished]]) -> None:
    pruned = [trial for trial in uninterrupted[1] if trial.pruned]
    assert pruned
    assert min(len(trial.losses) for trial in pruned) < 5


class KilledError(BaseException):
    """Stands for a kill: nothing in the search may catch it."""


def mortal(lives: int) -> Any:
    """A training that is killed at so many epochs, counted over all trials of a run."""
    left = iter(range(lives))

    def train(folder: Path, values: dict[str, Any], on_epoch: OnEpoch) -> None:
        def told(epoch: int, metrics: Mapping[str, float]) -> None:
            if next(left, None) is None:
                raise KilledError
            on_epoch(epoch, metrics)

        pretend(folder, values, told)

    return train


def test_a_killed_search_loses_no_trial(uninterrupted: tuple[Search, list[Finished]], tmp_path: Path) -> None:
    for lives in range(1, 8):
        with pytest.raises(KilledError):
            searched(tmp_path, 14, mortal(lives))
    _, told = searched(tmp_path, 14)
    assert told == uninterrupted[1]


def test_more_trials_go_on_from_those_that_were(uninterrupted: tuple[Search, list[Finished]], tmp_path: Path) -> None:
    searched(tmp_path, 6)
    assert searched(tmp_path, 14)[1] == uninterrupted[1]


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"a": {"low": 1}}, "expected either low and high, or choices"),
        ({"a": {"low": 2, "high": 1}}, "low is 2 and high 1; swap them"),
        ({"a": {"choices": [1], "lengths": [1, 2]}, "b": {"choices": [1], "lengths": [1, 3]}}, "the same lengths"),
    ],
)
def test_a_bad_space_is_told_in_a_sentence(space: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        parse(PredictorSearchConfig, {"trials": 1, "spaces": {"lstm": space}}, "params.yaml")


def test_a_metric_is_searched_in_its_own_direction(tmp_path: Path) -> None:
    def train(_: Path, values: dict[str, Any], on_epoch: OnEpoch) -> None:
        on_epoch(1, {"selection_accuracy": -abs(values["hidden_size"] - 40), "selection_loss": 0.0})

    search, told = searched(tmp_path, 4, train, metric="selection_accuracy")
    sizes = [trial.values["hidden_size"] for trial in told]
    assert search.best()["hidden_size"] == min(sizes, key=lambda size: abs(size - 40))
    assert min(trial.loss for trial in told) == min(abs(size - 40) for size in sizes)
    with pytest.raises(UserError, match="no epoch logs 'selection_acuracy'; did you mean 'selection_accuracy'"):
        searched(tmp_path / "other", 1, train, metric="selection_acuracy")
    # A direction that is given counts more than the name.
    search, told = searched(tmp_path / "lowest", 4, train, metric="selection_accuracy", direction="minimize")
    sizes = [trial.values["hidden_size"] for trial in told]
    assert search.best()["hidden_size"] == max(sizes, key=lambda size: abs(size - 40))


def backwards(work: Callable[[Any], Any], items: Sequence[Any], what: str) -> list[Any]:
    return [work(item) for item in reversed(items)][::-1]


BATCHES: list[dict[str, Any]] = [
    {"batch_trials": 4},
    {"batch_trials": 4, "pruner": HalvingConfig(kind="halving", factor=2)},
    {"batch_trials": 3, "pruner": NoPruningConfig(kind="none")},
]


@pytest.mark.parametrize("settings", BATCHES, ids=["median", "halving", "none"])
def test_neither_workers_nor_interruptions_show_in_batches(settings: dict[str, Any], tmp_path: Path) -> None:
    _, whole = searched(tmp_path / "whole", 14, **settings)
    assert len(whole) == 14
    assert any(trial.pruned for trial in whole) == ("none" not in str(settings))
    assert searched(tmp_path / "backwards", 14, run=backwards, **settings)[1] == whole
    for trials in (1, 6, 14):
        _, grown = searched(tmp_path / "grown", trials, **settings)
    assert grown == whole
    for lives in range(1, 60, 8):
        try:
            searched(tmp_path / "killed", 14, mortal(lives), **settings)
        except KilledError:
            continue
    assert searched(tmp_path / "killed", 14, **settings)[1] == whole


def test_halving_compares_trials_of_one_rung(tmp_path: Path) -> None:
    """By hand: with the factor 2 and rungs at 1, 2 and 4 epochs, a trial goes on if it is in the better half."""
    _, trials = searched(tmp_path, 12, pruner=HalvingConfig(kind="halving", factor=2))
    for trial in trials:
        for rung in (1, 2, 4):
            if rung not in trial.losses:
                break
            rivals = [other.losses[rung] for other in trials[: trial.number + 1] if rung in other.losses]
            goes_on = sorted(rivals).index(trial.losses[rung]) < max(1, len(rivals) // 2)
            assert (max(trial.losses) > rung) == goes_on


def killed_once(place: Path, folder: Path, values: dict[str, Any], on_epoch: OnEpoch) -> None:
    """The first process that comes to the third epoch of a trial is killed."""

    def told(epoch: int, metrics: Mapping[str, float]) -> None:
        if epoch == 3:
            try:
                place.touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        on_epoch(epoch, metrics)

    pretend(folder, values, told)


def test_a_killed_worker_costs_no_trial(tmp_path: Path) -> None:
    _, whole = searched(tmp_path / "whole", 12, batch_trials=4)
    with executor(ExecutionConfig(kind="processes", workers=4), threads=1) as run:
        train = partial(killed_once, tmp_path / "killed")
        _, told = searched(tmp_path / "lost", 12, train, run, batch_trials=4)
    assert (tmp_path / "killed").exists()
    assert told == whole


def test_two_processes_that_search_one_study_disturb_each_other_in_nothing(tmp_path: Path) -> None:
    """Each waits at each trial for the other, so that both compute and add every one of them."""
    _, alone = searched(tmp_path / "alone", 8, batch_trials=2)
    both = threading.Barrier(2)

    def together(folder: Path, values: dict[str, Any], on_epoch: OnEpoch) -> None:
        both.wait(60)
        pretend(folder, values, on_epoch)

    searched(tmp_path, 0)
    told: dict[int, list[Finished]] = {}
    threads = [
        threading.Thread(target=lambda n=n: told.update({n: searched(tmp_path, 8, together, batch_trials=2)[1]}))
        for n in (1, 2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert told == {1: alone, 2: alone}
    assert searched(tmp_path, 8, batch_trials=2)[1] == alone


def resuming(lives: int) -> Any:
    """A training that keeps its epochs in its folder, and is killed at so many of them in all."""
    left = iter(range(lives))

    def train(folder: Path, values: dict[str, Any], on_epoch: OnEpoch) -> None:
        folder.mkdir(parents=True, exist_ok=True)

        def told(epoch: int, metrics: Mapping[str, float]) -> None:
            if not (folder / str(epoch)).exists():
                if next(left, None) is None:
                    raise KilledError
                (folder / str(epoch)).touch(exist_ok=False)
            on_epoch(epoch, metrics)

        pretend(folder, values, told)

    return train


def test_a_killed_search_goes_on_from_the_checkpoints_of_its_batch(tmp_path: Path) -> None:
    """Trials of a batch have folders of their own, which stay until they have finished and are then deleted."""
    settings: dict[str, Any] = {"batch_trials": 4, "pruner": NoPruningConfig(kind="none")}
    with pytest.raises(KilledError):
        searched(tmp_path, 12, resuming(33), **settings)
    checkpoints = tmp_path / "checkpoints"
    assert sorted(len(list(folder.iterdir())) for folder in checkpoints.iterdir()) == [3, 5, 5]
    _, told = searched(tmp_path, 12, resuming(60 - 33), **settings)
    assert len(told) == 12
    assert list(checkpoints.iterdir()) == []
