"""Parameter search with Optuna; a killed search resumes and ends with the same result.

Trials are stored in an SQLite file. A trial's parameters are drawn from a generator seeded by the search's seed and the
number of finished trials, so an interrupted trial is drawn again with the same parameters, and its training resumes
from its checkpoints.
"""

import sqlite3
import warnings
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.exceptions import OptunaError
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from MLOps.artifacts import value_hash
from MLOps.config.schema import suggest
from MLOps.config.search import SearchRange
from MLOps.errors import UserError
from MLOps.progress import progress_bars
from MLOps.training.direction import is_better
from MLOps.training.seeds import derive_seed

OnEpoch = Callable[[int, Mapping[str, float]], None]

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
DIGEST = "digest"  # the attribute of a finished trial with its hash
# What reading raises of a file that is no study, or no longer one.
DAMAGE = (SQLAlchemyError, sqlite3.Error, OptunaError, ValueError, LookupError, TypeError, AttributeError, RuntimeError)
LENGTH = "length"  # the parameter for the length of all lists of a trial

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class Finished:
    """A finished trial: `values` in the form of params.yaml, the metric at each epoch, and whether it was pruned.
    `losses` are to be minimised: a metric of which more is better has its sign changed."""

    number: int
    values: dict[str, Any]
    losses: dict[int, float]
    pruned: bool

    @property
    def loss(self) -> float:
        """The lowest loss."""
        return min(self.losses.values())


class Search:
    """The trials of one predictor over `space`.

    Args:
        study: a name that identifies everything a trial's result depends on; another name starts another search.
        storage: an SQLite file.
        metric: what trials are compared by; see `is_better` for its direction.
    """

    def __init__(
        self,
        study: str,
        space: Mapping[str, SearchRange],
        storage: Path,
        seed: int,
        metric: str = "selection_loss",
    ) -> None:
        self._metric, self.sign = metric, 1 if is_better(metric, 0.0, 1.0) else -1
        storage.parent.mkdir(parents=True, exist_ok=True)
        self._space, self._seed = space, seed
        try:
            self._study = _opened(study, storage)
            is_whole = self._is_whole()
        except DAMAGE:
            is_whole = False
        if not is_whole:
            warnings.warn(f"{storage}: the search is damaged; it starts again", stacklevel=2)
            for file in storage.parent.glob(f"{storage.name}*"):  # SQLite's journal too
                file.unlink()
            self._study = _opened(study, storage)

    def run(
        self,
        trials: int,
        train: Callable[[dict[str, Any], OnEpoch], None],
        on_trial: Callable[[Finished], None],
    ) -> None:
        """Run until `trials` trials have finished.

        Args:
            train: trains with the given values and passes each epoch's metrics to the callback, which may raise an
                exception to prune the trial.
            on_trial: called with every finished trial, those of earlier runs first.

        Raises:
            UserError: the metric is not among those of an epoch.
        """
        for finished in self.finished():
            on_trial(finished)
        with progress_bars() as progress:
            bar = progress.add_task("trials", total=trials, completed=len(self.finished()))
            while (number := len(self.finished())) < trials:
                self._study.sampler = optuna.samplers.TPESampler(seed=derive_seed(self._seed, "trial", number))
                self._one(train)
                on_trial(self.finished()[number])
                progress.update(bar, completed=number + 1)

    def finished(self) -> list[Finished]:
        """The finished trials, in order."""
        return [
            Finished(number, self._values(trial), trial.intermediate_values, trial.state == TrialState.PRUNED)
            for number, trial in enumerate(self._study.get_trials(states=FINISHED))
        ]

    def best(self) -> dict[str, Any]:
        """The values of the trial with the best value of the metric."""
        return self._values(self._study.best_trial)

    def importances(self) -> dict[str, float]:
        """Each parameter's share of the variance of the loss (fANOVA; Hutter et al., 2014); empty for few trials."""
        if len(self._study.get_trials(states=[TrialState.COMPLETE])) < 2:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        return optuna.importance.get_param_importances(self._study, evaluator=evaluator)

    def _is_whole(self) -> bool:
        """Whether the finished trials are those that were told, in their order."""
        trials = self._study.get_trials(states=FINISHED)
        return self._study.directions == [StudyDirection.MINIMIZE] and all(
            trial.user_attrs.get(DIGEST) == _digest(number, trial, trial.state, trial.value)
            for number, trial in enumerate(trials)
        )

    def _tell(self, trial: Trial, state: TrialState, loss: float) -> None:
        """Finish a trial. SQLite does not notice a changed byte, so the trial has a hash of all that is read of it."""
        frozen = self._study.get_trials(deepcopy=False)[trial.number]
        trial.set_user_attr(DIGEST, _digest(len(self.finished()), frozen, state, loss))
        if state == TrialState.PRUNED:
            self._study.tell(trial, state=state)
        else:
            self._study.tell(trial, loss)

    def _one(self, train: Callable[[dict[str, Any], OnEpoch], None]) -> None:
        trial = self._study.ask()
        losses: list[float] = []

        def on_epoch(epoch: int, metrics: Mapping[str, float]) -> None:
            if self._metric not in metrics:
                raise UserError(f"search: metric: no epoch logs {self._metric!r}; {suggest(self._metric, metrics)}")
            losses.append(self.sign * metrics[self._metric])
            trial.report(losses[-1], epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        values = {name: _drawn(trial, name, bounds, self._length(trial)) for name, bounds in self._space.items()}
        try:
            train(values, on_epoch)
        except optuna.TrialPruned:
            self._tell(trial, TrialState.PRUNED, losses[-1])
        else:
            self._tell(trial, TrialState.COMPLETE, min(losses))

    def _length(self, trial: Trial) -> int:
        bounds = next((bounds.lengths for bounds in self._space.values() if bounds.lengths), None)
        return trial.suggest_int(LENGTH, *bounds) if bounds else 0

    def _values(self, trial: FrozenTrial) -> dict[str, Any]:
        return {
            name: [trial.params[f"{name}.{i}"] for i in range(trial.params[LENGTH])]
            if bounds.lengths
            else trial.params[name]
            for name, bounds in self._space.items()
        }


def _opened(study: str, storage: Path) -> optuna.Study:
    """The study in the file, without trials that were interrupted; raises one of DAMAGE if the file is damaged."""
    with closing(sqlite3.connect(storage)) as database:
        if database.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            raise sqlite3.DatabaseError(str(storage))
    opened = optuna.create_study(
        study_name=study,
        storage=f"sqlite:///{storage}",
        # A trial is pruned if its best loss so far is worse than the median of the other trials at that epoch.
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1),
        load_if_exists=True,
    )
    for trial in opened.get_trials(states=[TrialState.RUNNING]):
        opened.tell(trial.number, state=TrialState.FAIL)
    return opened


def _digest(number: int, trial: FrozenTrial, state: TrialState, value: float | None) -> str:
    """Of a finished trial: its place, state, value, parameters with their distributions, and losses by epoch."""
    drawn = {name: [trial.params[name], distribution_to_json(kind)] for name, kind in trial.distributions.items()}
    losses = sorted(trial.intermediate_values.items())
    return value_hash([number, state.name, value, drawn, losses])


def _drawn(trial: Trial, name: str, bounds: SearchRange, length: int) -> Any:
    if bounds.lengths:
        return [trial.suggest_categorical(f"{name}.{i}", bounds.choices) for i in range(length)]
    if bounds.choices:
        return trial.suggest_categorical(name, bounds.choices)
    if isinstance(bounds.low, int) and isinstance(bounds.high, int):
        return trial.suggest_int(name, bounds.low, bounds.high, log=bounds.log)
    assert bounds.low is not None and bounds.high is not None
    return trial.suggest_float(name, bounds.low, bounds.high, log=bounds.log)
