"""The parameters of one predictor: as params.yaml has them, or the best that a search finds around them."""

import sys
from typing import TYPE_CHECKING, Any

from MLOps.artifacts import read_json, read_table, write_json
from MLOps.config.labels import class_names
from MLOps.config.params import load_params
from MLOps.config.schema import as_json
from MLOps.pipelines import paths
from MLOps.predictors import predictor_modules

if TYPE_CHECKING:
    from MLOps.pipelines.stage import Stage


def main() -> None:
    name = sys.argv[1]
    params = load_params()
    values = as_json(params.predictors[name])
    if not params.search.predictors.trials or not params.search.predictors.spaces.get(name):
        write_json(paths.TUNED / f"{name}.json", values)
        write_json(paths.RECORDS / "tune" / name / "trials.json", [])
        print(f"tune/{name}: as in params.yaml: trials is 0, or search.predictors.spaces does not name it")
        return
    # Stages take seconds to import, which one that passes parameters through is spared.
    from MLOps.pipelines.stage import Stage

    with Stage("tune", name) as stage:
        write_json(paths.TUNED / f"{name}.json", values | searched(stage, name, values))


def searched(stage: "Stage", name: str, values: dict[str, Any]) -> dict[str, Any]:
    """The best values that a search finds."""
    from MLOps.data.splits import Splits
    from MLOps.features.dataset import read_features
    from MLOps.pipelines.searching import search
    from MLOps.predictors.tuning import trial_of
    from MLOps.training.determinism import seed_torch

    seed = stage.params.seed
    features, labels = read_features(paths.FEATURES), read_table(paths.LABELS)
    names = class_names(stage.params.labels)
    splits = Splits.from_dict(read_json(paths.SPLITS))
    feature_names = tuple(read_json(paths.FEATURE_PIPELINE)["names"])
    train = trial_of(name, values, features, labels, names, feature_names, splits, seed)
    seed_torch(seed, stage.params.threads)
    return search(stage, name, values, stage.params.search.predictors, predictor_modules(values["kind"]), train)


if __name__ == "__main__":
    main()
