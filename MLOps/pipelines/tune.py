"""The parameters of one predictor: as params.yaml has them, or the best that a search finds around them."""

import shutil
import sys
from dataclasses import asdict
from typing import Any

from MLOps.artifacts import read_json, read_table, value_hash, write_json
from MLOps.config.labels import class_names
from MLOps.config.params import load_params
from MLOps.config.predictors import parse_predictor
from MLOps.data.splits import Splits
from MLOps.imports import code_hash
from MLOps.pipelines import paths
from MLOps.pipelines.declaration import as_json
from MLOps.pipelines.stage import Stage
from MLOps.predictors import predictor_modules
from MLOps.predictors.kinds import predictor_class
from MLOps.predictors.learning import learning_data
from MLOps.training.determinism import seed_torch
from MLOps.training.seeds import derive_seed


def main() -> None:
    name = sys.argv[1]
    params = load_params()
    values = as_json(params.predictors[name])
    if not params.search.trials or not params.search.spaces.get(name):
        write_json(paths.TUNED / f"{name}.json", values)
        write_json(paths.RECORDS / "tune" / name / "trials.json", [])
        print(f"tune/{name}: as in params.yaml: search.trials is 0, or search.spaces does not name it")
        return
    with Stage("tune", name) as stage:
        write_json(paths.TUNED / f"{name}.json", values | search(stage, name, values))


def search(stage: Stage, name: str, values: dict[str, Any]) -> dict[str, Any]:
    """The best values that `search.trials` trials find."""
    # Optuna takes seconds to import, which a stage that passes parameters through is spared.
    from MLOps.training.search import Finished, OnEpoch, Search

    space, seed = stage.params.search.spaces[name], stage.params.seed
    features, labels = read_table(paths.FEATURES), read_table(paths.LABELS)
    names = class_names(stage.params.labels)
    splits = Splits.from_dict(read_json(paths.SPLITS))
    feature_names = tuple(read_json(paths.FEATURE_PIPELINE)["names"])
    kind = predictor_class(values["kind"])
    seed_torch(seed, stage.params.threads)
    checkpoints = paths.CHECKPOINTS / "tune" / name
    bounds = {key: asdict(value) for key, value in space.items()}
    code = code_hash(*predictor_modules(values["kind"]))
    study = value_hash([values, bounds, stage.record.inputs, seed, stage.params.threads, code])
    searching = Search(study[:32], space, paths.SEARCH / f"{name}.db", derive_seed(seed, "search", name))
    trials: list[Finished] = []

    def train(drawn: dict[str, Any], on_epoch: OnEpoch) -> None:
        config = parse_predictor({**values, **drawn}, f"search.spaces.{name}")
        data = learning_data(config.lookback_bars, features, labels, names, feature_names, splits)
        kind.fit(config, data, derive_seed(seed, "choices"), on_epoch, checkpoints)

    def on_trial(trial: Finished) -> None:
        trials.append(trial)
        best = min(finished.loss for finished in trials)
        stage.log(trial.number, {"trial_selection_loss": trial.loss, "best_selection_loss": best})
        steps = [(epoch, {"selection_loss": loss}) for epoch, loss in trial.losses.items()]
        stage.run.nest(f"{name} trial {trial.number}", {**trial.values, "pruned": trial.pruned}, steps)
        # A finished trial needs no checkpoints.
        shutil.rmtree(checkpoints, ignore_errors=True)

    searching.run(stage.params.search.trials, train, on_trial)
    write_json(stage.artifact("trials.json"), [asdict(trial) for trial in trials])
    write_json(stage.artifact("importances.json"), searching.importances())
    stage.report({"best_selection_loss": min(trial.loss for trial in trials)})
    return searching.best()


if __name__ == "__main__":
    main()
