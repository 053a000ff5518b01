"""A search of a variant's parameters, shown in the runs and files of its stage."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from MLOps.artifacts import value_hash, write_json
from MLOps.config.params import load_params
from MLOps.config.schema import as_json
from MLOps.config.search import SearchConfig
from MLOps.experiment_tracking.address import studies_url
from MLOps.imports import code_hash
from MLOps.pipelines import paths
from MLOps.pipelines.stage import Stage
from MLOps.pipelines.workers import workers_of
from MLOps.training.search import Finished, Search, Train
from MLOps.training.seeds import derive_seed


def search(
    stage: Stage,
    variant: str,
    values: Mapping[str, Any],
    config: SearchConfig,
    modules: Sequence[str],
    train: Train,
) -> dict[str, Any]:
    """The best values that `config.trials` trials find. A killed search resumes.

    Args:
        values: of the variant in params.yaml.
        modules: the code that a trial's result depends on.
        train: see `Search.run`.
    """
    space, seed, metric = config.spaces[variant], stage.params.seed, config.metric
    checkpoints = paths.CHECKPOINTS / stage.name
    bounds = {key: asdict(value) for key, value in space.items()}
    how = as_json([metric, config.direction, config.batch_trials, as_json(config.pruner)])
    code = code_hash(Search.__module__, *modules)
    study = value_hash([values, bounds, how, stage.record.inputs, seed, stage.params.threads, code])
    storage = studies_url(load_params().tracking) or paths.SEARCH / f"{stage.name}.db"
    searching = Search(study[:32], config, variant, storage, derive_seed(seed, "search", variant))
    trials: list[Finished] = []

    def best() -> float:
        return searching.sign * min(finished.loss for finished in trials)

    def on_trial(trial: Finished) -> None:
        trials.append(trial)
        stage.log(trial.number, {f"trial_{metric}": searching.sign * trial.loss, f"best_{metric}": best()})
        params = {**trial.values, "pruned": trial.pruned}
        with stage.run.nested("trial", f"{variant} trial {trial.number}", params) as run:
            for epoch, loss in trial.losses.items():
                run.log(epoch, {metric: searching.sign * loss})

    with workers_of(stage) as run:
        searching.run(config.trials, train, checkpoints, on_trial, run)
    write_json(stage.artifact("trials.json"), [asdict(trial) for trial in trials])
    write_json(stage.artifact("importances.json"), searching.importances())
    stage.report({f"best_{metric}": best()})
    return searching.best()
