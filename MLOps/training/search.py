"""Parameter search with Optuna; a killed search resumes and ends with the same result.

Trials are drawn and computed in batches: what a trial is drawn from and pruned by are the batches before its own.
Its result is thus a function of the seed, of its number and of the size of the batches, whatever the number of workers
and the order in which they finish. The study has finished trials alone, so a killed process leaves nothing in it to
repair, and none can take the running trials of another for dead. An unfinished trial is drawn again with the same
parameters, and its training resumes from its checkpoints.
"""

import shutil
import sqlite3
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.exceptions import OptunaError
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from MLOps.artifacts import value_hash
from MLOps.config.schema import suggest
from MLOps.config.search import MedianConfig, NoPruningConfig, PrunerConfig, SearchConfig, SearchRange
from MLOps.errors import UserError, one_line
from MLOps.execution.contract import Map, in_turn
from MLOps.training.direction import is_better
from MLOps.training.seeds import derive_seed

OnEpoch = Callable[[int, Mapping[str, float]], None]
Train = Callable[[Path, dict[str, Any], OnEpoch], None]

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
PLACE = "place"  # the attribute of a trial with its number among the finished ones, from 0 on
DIGEST = "digest"  # the attribute of a trial with its hash
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
    """The trials of one variant over its space in `config`.

    Args:
        study: a name that identifies everything a trial's result depends on; another name starts another search.
        variant: the predictor or agent whose space is searched.
        storage: an SQLite file, or the URL of a database.

    Raises:
        UserError: the database does not answer.
    """

    def __init__(self, study: str, config: SearchConfig, variant: str, storage: Path | str, seed: int) -> None:
        self._space, self._batch_trials, self._seed = config.spaces[variant], config.batch_trials, seed
        self._metric, self._pruner = config.metric, _pruner(config.pruner)
        self.sign = 1 if is_lower_better(config) else -1
        self._study = _whole(study, storage)

    def run(
        self,
        trials: int,
        train: Train,
        checkpoints: Path,
        on_trial: Callable[[Finished], None],
        run: Map = in_turn,
    ) -> None:
        """Run until `trials` trials have finished.

        Args:
            train: trains with the given values and passes each epoch's metrics to the callback, which may raise an
                exception to prune the trial. It keeps its progress in the folder, one for each trial.
            checkpoints: a folder for these folders, which are deleted when their trials have finished.
            on_trial: called with every finished trial in order, those of earlier runs first.
            run: computes the trials of a batch.

        Raises:
            UserError: the metric is not among those of an epoch.
        """
        for finished in self.finished():
            on_trial(finished)
        while (done := len(self._trials())) < trials:
            first = done - done % self._batch_trials
            known = self._trials()[:first]
            drawn = self._draw(known)[done - first : trials - first]
            compute = partial(_computed, train, self._metric, self.sign, self._pruner, known)
            what = f"trials {done} to {done + len(drawn) - 1} of {trials}"
            # A folder each, because equal parameters, drawn twice in a batch, would write the same files.
            folders = [checkpoints / f"trial_{place}" for place in range(done, done + len(drawn))]
            computed = run(compute, list(zip(folders, drawn, strict=True)), what)
            for place, (folder, trial) in enumerate(zip(folders, computed, strict=True), done):
                self._add(place, trial)
                shutil.rmtree(folder, ignore_errors=True)
            for finished in self.finished()[done : done + len(drawn)]:
                on_trial(finished)

    def finished(self) -> list[Finished]:
        """The finished trials, in order."""
        return [
            Finished(number, _values(self._space, trial), trial.intermediate_values, trial.state == TrialState.PRUNED)
            for number, trial in enumerate(self._trials())
        ]

    def best(self) -> dict[str, Any]:
        """The values of the trial with the best value of the metric."""
        return _values(self._space, _study_of(self._trials()).best_trial)

    def importances(self) -> dict[str, float]:
        """Each parameter's share of the variance of the loss (fANOVA; Hutter et al., 2014); empty for few trials."""
        if sum(trial.state == TrialState.COMPLETE for trial in self._trials()) < 2:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        return optuna.importance.get_param_importances(_study_of(self._trials()), evaluator=evaluator)

    def _trials(self) -> list[FrozenTrial]:
        return _distinct(self._study)

    def _draw(self, known: Sequence[FrozenTrial]) -> list["_Drawn"]:
        """The next batch, drawn from the batches before it."""
        sampler = optuna.samplers.TPESampler(seed=derive_seed(self._seed, "trial", len(known)))
        study = _study_of(known, sampler=sampler)
        batch = []
        for _ in range(self._batch_trials):
            trial = study.ask()
            length = _length(trial, self._space)
            values = {name: _drawn(trial, name, bounds, length) for name, bounds in self._space.items()}
            batch.append(_Drawn(values, trial.params, trial.distributions))
        return batch

    def _add(self, place: int, trial: FrozenTrial) -> None:
        """Add a finished trial, unless another process has. SQLite does not notice a changed byte, so it has a hash."""
        if len(self._trials()) == place:
            trial.set_user_attr(PLACE, place)
            trial.set_user_attr(DIGEST, _digest(place, trial))
            self._study.add_trial(trial)


@dataclass(frozen=True)
class _Drawn:
    """The parameters of a trial: in the form of params.yaml, and Optuna's with their distributions."""

    values: dict[str, Any]
    params: dict[str, Any]
    distributions: dict[str, Any]


def is_lower_better(config: SearchConfig) -> bool:
    """Whether the metric of a search is to be minimised."""
    if config.direction == "auto":
        return is_better(config.metric, 0.0, 1.0)
    return config.direction == "minimize"


def _computed(
    train: Train,
    metric: str,
    sign: int,
    pruner: BasePruner,
    known: Sequence[FrozenTrial],
    folder_and_drawn: tuple[Path, _Drawn],
) -> FrozenTrial:
    """Train with the drawn values; the pruner compares the losses with those of the known trials."""
    folder, drawn = folder_and_drawn
    trial = _study_of(known, pruner=pruner).ask()
    losses: list[float] = []

    def on_epoch(epoch: int, metrics: Mapping[str, float]) -> None:
        if metric not in metrics:
            raise UserError(f"search: metric: no epoch logs {metric!r}; {suggest(metric, metrics)}")
        losses.append(sign * metrics[metric])
        trial.report(losses[-1], epoch)
        if trial.should_prune():
            raise optuna.TrialPruned

    try:
        train(folder, drawn.values, on_epoch)
        state, value = TrialState.COMPLETE, min(losses)
    except optuna.TrialPruned:
        state, value = TrialState.PRUNED, losses[-1]
    told = trial.study.get_trials(deepcopy=False)[trial.number]
    return create_trial(
        state=state,
        value=value,
        params=drawn.params,
        distributions=drawn.distributions,
        intermediate_values=told.intermediate_values,
        system_attrs=told.system_attrs,  # the rungs of successive halving
    )


def _pruner(config: PrunerConfig) -> BasePruner:
    if isinstance(config, MedianConfig):
        return MedianPruner(config.startup_trials, config.warmup_epochs)
    if isinstance(config, NoPruningConfig):
        return NopPruner()
    return SuccessiveHalvingPruner(config.first_epochs, config.factor)


def _study_of(trials: Sequence[FrozenTrial], **settings: Any) -> optuna.Study:
    """A study in memory that has finished these trials."""
    study = optuna.create_study(**settings)
    study.add_trials(trials)
    return study


def _whole(name: str, storage: Path | str) -> optuna.Study:
    """The study of this name; a damaged one starts again."""
    if isinstance(storage, str):
        try:
            study = _opened(name, storage)
            is_whole = _holds(study)
        except ImportError as error:
            raise UserError(
                f"{storage.partition(':')[0]}: expected the package of this database, found none: "
                f"{one_line(error, 100)}; pip install -r requirements-team.txt"
            ) from None
        except DAMAGE as error:
            where = make_url(storage).render_as_string(hide_password=True)
            raise UserError(
                f"{where}: expected a database of Optuna studies, found none: {one_line(error, 200)}; start its "
                "server, or set tracking.studies in params.yaml or OPTUNA_STORAGE"
            ) from None
        if is_whole:
            return study
        optuna.delete_study(study_name=name, storage=storage)
        warnings.warn(f"study {name}: the search is damaged; it starts again", stacklevel=3)
        return _opened(name, storage)
    storage.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(sqlite3.connect(storage)) as database:
            if database.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                raise sqlite3.DatabaseError(str(storage))
        study = _opened(name, f"sqlite:///{storage}")
        if _is_whole(study):
            return study
    except DAMAGE:
        pass
    warnings.warn(f"{storage}: the search is damaged; it starts again", stacklevel=3)
    for file in storage.parent.glob(f"{storage.name}*"):  # SQLite's journal too
        file.unlink()
    return _opened(name, f"sqlite:///{storage}")


def _holds(study: optuna.Study) -> bool:
    """`_is_whole` where the database itself is sound, so that what is missing of a trial is damage of the study."""
    try:
        return _is_whole(study)
    except (ValueError, LookupError, TypeError, AttributeError):
        return False


def _opened(name: str, url: str) -> optuna.Study:
    return optuna.create_study(study_name=name, storage=url, load_if_exists=True)


def _distinct(study: optuna.Study) -> list[FrozenTrial]:
    """The finished trials by their places. Of two processes that added the same trial at once, one is counted."""
    places: dict[int, FrozenTrial] = {}
    for trial in study.get_trials(states=FINISHED):
        places.setdefault(trial.user_attrs[PLACE], trial)
    return [places[place] for place in sorted(places)]


def _is_whole(study: optuna.Study) -> bool:
    """Whether the finished trials are those that were added, none missing."""
    trials = _distinct(study)
    return study.directions == [StudyDirection.MINIMIZE] and all(
        (trial.user_attrs[PLACE], trial.user_attrs.get(DIGEST)) == (place, _digest(place, trial))
        for place, trial in enumerate(trials)
    )


def _digest(place: int, trial: FrozenTrial) -> str:
    """Of a finished trial: its place, state, value, parameters with their distributions, losses by epoch, rungs."""
    drawn = {name: [trial.params[name], distribution_to_json(kind)] for name, kind in trial.distributions.items()}
    losses = sorted(trial.intermediate_values.items())
    return value_hash([place, trial.state.name, trial.value, drawn, losses, trial.system_attrs])


def _length(trial: Trial, space: Mapping[str, SearchRange]) -> int:
    bounds = next((bounds.lengths for bounds in space.values() if bounds.lengths), None)
    return trial.suggest_int(LENGTH, *bounds) if bounds else 0


def _values(space: Mapping[str, SearchRange], trial: FrozenTrial) -> dict[str, Any]:
    return {
        name: [trial.params[f"{name}.{i}"] for i in range(trial.params[LENGTH])]
        if bounds.lengths
        else trial.params[name]
        for name, bounds in space.items()
    }


def _drawn(trial: Trial, name: str, bounds: SearchRange, length: int) -> Any:
    if bounds.lengths:
        return [trial.suggest_categorical(f"{name}.{i}", bounds.choices) for i in range(length)]
    if bounds.choices:
        return trial.suggest_categorical(name, bounds.choices)
    if isinstance(bounds.low, int) and isinstance(bounds.high, int):
        return trial.suggest_int(name, bounds.low, bounds.high, log=bounds.log)
    assert bounds.low is not None and bounds.high is not None
    return trial.suggest_float(name, bounds.low, bounds.high, log=bounds.log)
