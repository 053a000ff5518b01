"""The training in a trial of a search of a predictor's parameters."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from MLOps.config.predictors import parse_predictor
from MLOps.data.splits import Splits
from MLOps.predictors.contract import Predictor
from MLOps.predictors.kinds import predictor_class
from MLOps.predictors.learning import learning_data
from MLOps.training.search import OnEpoch, Train
from MLOps.training.seeds import derive_seed


def trial_of(
    name: str,
    values: Mapping[str, Any],
    features: pd.DataFrame,
    labels: pd.DataFrame,
    class_names: tuple[str, ...],
    feature_names: tuple[str, ...],
    splits: Splits,
    seed: int,
) -> Train:
    """A function that trains the predictor `name` with drawn parameters in place of those of `values`.

    Args:
        values: of the variant in params.yaml.
        seed: of the run.
    """
    # The class is pickled by its name, so that a worker has imported PyTorch before it sets threads and algorithms.
    return partial(
        _train,
        predictor_class(values["kind"]),
        name,
        values,
        features,
        labels,
        class_names,
        feature_names,
        splits,
        seed,
    )


def _train(
    kind: type[Predictor],
    name: str,
    values: Mapping[str, Any],
    features: pd.DataFrame,
    labels: pd.DataFrame,
    class_names: tuple[str, ...],
    feature_names: tuple[str, ...],
    splits: Splits,
    seed: int,
    checkpoints: Path,
    drawn: dict[str, Any],
    on_epoch: OnEpoch,
) -> None:
    config = parse_predictor({**values, **drawn}, f"search.predictors.spaces.{name}")
    data = learning_data(config.lookback_bars, features, labels, class_names, feature_names, splits)
    kind.fit(config, data, derive_seed(seed, "choices"), on_epoch, checkpoints)
