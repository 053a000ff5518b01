"""The search finds what there is to find, prunes, and goes on after a kill as if there had been none."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from MLOps.config.schema import parse
from MLOps.config.search import PredictorSearchConfig, SearchRange
from MLOps.errors import UserError
from MLOps.training.search import Finished, OnEpoch, Search

SPACE = {
    "learning_rate": SearchRange(low=0.001, high=0.1, log=True),
    "hidden_size": SearchRange(low=4, high=64),
    "optimiser": SearchRange(choices=("adam", "adamw")),
    "filters": SearchRange(choices=(4, 8), lengths=(1, 3)),
    "kernels": SearchRange(choices=(3, 5, 7), lengths=(1, 3)),
}


def pretend(values: dict[str, Any], on_epoch: OnEpoch) -> None:
    """A training that is best at a hidden size of 40, told over five epochs."""
    for epoch in range(1, 6):
        on_epoch(epoch, {"selection_loss": abs(values["hidden_size"] - 40) / 40 + values["learning_rate"] + 1 / epoch})


def searched(folder: Path, trials: int, train: Any = pretend) -> tuple[Search, list[Finished]]:
    told: list[Finished] = []
    search = Search("study", SPACE, folder / "search.db", seed=7)
    search.run(trials, train, told.append)
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

    def train(values: dict[str, Any], on_epoch: OnEpoch) -> None:
        def told(epoch: int, metrics: Mapping[str, float]) -> None:
            if next(left, None) is None:
                raise KilledError
            on_epoch(epoch, metrics)

        pretend(values, told)

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
    def train(values: dict[str, Any], on_epoch: OnEpoch) -> None:
        on_epoch(1, {"selection_accuracy": -abs(values["hidden_size"] - 40), "selection_loss": 0.0})

    told: list[Finished] = []
    space = {"hidden_size": SPACE["hidden_size"]}
    search = Search("accuracy", space, tmp_path / "s.db", 7, "selection_accuracy")
    search.run(4, train, told.append)
    sizes = [trial.values["hidden_size"] for trial in told]
    assert search.best()["hidden_size"] == min(sizes, key=lambda size: abs(size - 40))
    assert min(trial.loss for trial in told) == min(abs(size - 40) for size in sizes)
    with pytest.raises(UserError, match="no epoch logs 'selection_acuracy'; did you mean 'selection_accuracy'"):
        Search("other", SPACE, tmp_path / "s.db", 7, "selection_acuracy").run(1, train, told.append)
