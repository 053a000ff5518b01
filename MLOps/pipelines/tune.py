"""The parameters of one predictor: as params.yaml has them, or the best that a search finds around them."""

import shutil
import sys
from dataclasses import asdict
from typing import Any

from MLOps.artifacts import read_json, read_table, value_hash, write_json
from MLOps.data.splits import Splits
from MLOps.features.labels import class_names
from MLOps.features.pipeline import FeaturePipeline
from MLOps.pipelines import paths
from MLOps.pipelines.stage import Stage


def main() -> None:
    name = sys.argv[1]
    with Stage("tune", name) as stage:
        values = asdict(stage.params.predictors[name])
        space = stage.params.search.spaces.get(name)
        if stage.params.search.trials and space:
            values |= search(stage, name, values, space)
        write_json(paths.TUNED / f"{name}.json", values)


def search(stage: Stage, name: str, values: dict[str, Any], space: dict[str, Any]) -> dict[str, Any]:
    """The best values that `search.trials` trials find."""
    # PyTorch and Optuna take seconds to import, which a stage that passes through is spared.
    from MLOps.config.predictors import parse_predictor
    from MLOps.determinism import repeat_torch
    from MLOps.evaluation.figures import importance_figure, search_figure
    from MLOps.predictors import PREDICTORS
    from MLOps.predictors.checkpoints import code_hash
    from MLOps.predictors.contract import OnEpoch
    from MLOps.predictors.search import Finished, Search
    from MLOps.predictors.signals import learning_data

    features, labels = read_table(paths.FEATURES), read_table(paths.LABELS)
    classes = class_names(stage.params.labels)
    splits = Splits.from_dict(read_json(paths.SPLITS))
    pipeline = FeaturePipeline.from_dict(read_json(paths.FEATURE_PIPELINE))
    repeat_torch(stage.params.seed, stage.params.threads)
    checkpoints = paths.CHECKPOINTS / "tune" / name
    bounds = {key: asdict(value) for key, value in space.items()}
    study = value_hash([values, bounds, stage.record.inputs, stage.params.seed, stage.params.threads, code_hash()])
    searching = Search(study[:32], space, paths.SEARCH / f"{name}.db")
    trials: list[Finished] = []

    def train(drawn: dict[str, Any], on_epoch: OnEpoch) -> None:
        config = parse_predictor({**values, **drawn}, f"search.spaces.{name}")
        data = learning_data(config.lookback_bars, features, labels, classes, pipeline.names, splits)
        PREDICTORS[config.kind].fit(
            config, data.windows, data.targets, data.fitting, data.selection, stage.params.seed, on_epoch, checkpoints
        )

    def told(trial: Finished) -> None:
        trials.append(trial)
        best = min(finished.loss for finished in trials)
        stage.log(trial.number, {"trial_selection_loss": trial.loss, "best_selection_loss": best})
        steps = [(epoch, {"selection_loss": loss}) for epoch, loss in trial.losses.items()]
        stage.run.nest(f"{name} trial {trial.number}", {**trial.values, "pruned": trial.pruned}, steps)
        # Nothing of a finished trial needs to be resumed.
        shutil.rmtree(checkpoints, ignore_errors=True)

    searching.run(stage.params.search.trials, train, told)
    search_figure([trial.loss for trial in trials], stage.artifact("history.png"))
    if importances := searching.importances():
        importance_figure(importances, "share in the variance of the loss", stage.artifact("importance.png"))
    stage.report({"best_selection_loss": min(trial.loss for trial in trials)})
    return searching.best()


if __name__ == "__main__":
    main()
