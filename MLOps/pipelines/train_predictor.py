"""One predictor of params.yaml, and its signals: out of fold in the training span.

Under `torchrun` several processes train a network together; rank 0 is the stage, the others compute for it.
"""

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from MLOps.artifacts import read_json, read_table, whole_folder, write_json, write_table
from MLOps.config.labels import class_names
from MLOps.config.params import Params, load_params
from MLOps.config.predictors import NetworkConfig, parse_predictor
from MLOps.data.splits import Splits
from MLOps.deployment.predictor_logging import log_predictor
from MLOps.errors import UserError
from MLOps.evaluation.forecasts import forecast_metrics
from MLOps.execution.contract import Map, in_turn
from MLOps.features.dataset import read_features
from MLOps.pipelines import paths
from MLOps.pipelines.failures import exit_with_sentence
from MLOps.pipelines.stage import Stage
from MLOps.pipelines.workers import workers_of
from MLOps.predictors import ranks
from MLOps.predictors.contract import OnEpoch, Predictor
from MLOps.predictors.kinds import predictor_class
from MLOps.predictors.learning import LearningData, learning_data
from MLOps.predictors.signals import train_with_signals
from MLOps.training.determinism import seed_torch

EXPORT_WINDOWS = 1000  # an exported network is compared with the predictor on at most as many


def main() -> None:
    name = sys.argv[1]
    tuned = paths.TUNED / f"{name}.json"
    with exit_with_sentence(f"train_predictor/{name}"):
        config = parse_predictor(read_json(tuned), str(tuned))
        if ranks.launched() and not isinstance(config, NetworkConfig):
            raise UserError(
                f"ranks: expected a network, which several processes can train, found {config.kind}; run "
                f"`python -m MLOps.pipelines.train_predictor {name}`"
            )
        with ranks.joined():
            if ranks.rank() == 0:
                run_stage(name, config)
            else:
                # Rank 0 has all that this returns, and reports it.
                params = load_params()
                threadpool_limits(params.threads)
                train(name, config, params, lambda epoch, metrics: None)


def run_stage(name: str, config: Any) -> None:
    """The stage, which logs and writes."""
    processes = {"processes": ranks.size()} if ranks.size() > 1 else {}
    with Stage("train_predictor", name, predictor=asdict(config), **processes) as stage:
        stage.run.watch_system()

        def log(epoch: int, metrics: Mapping[str, float]) -> None:
            stage.log(epoch, with_loss_ratio(metrics))

        with workers_of(stage) as workers:
            # Ranks train each model together, one after the other.
            run = workers if ranks.size() == 1 else in_turn
            data, predictor, signals = train(name, config, stage.params, log, run)
        with whole_folder(paths.PREDICTORS / name) as folder:
            predictor.save(folder)
        n_features = len(data.windows.names)
        # Kinds that are no network have no graph.
        if (network := getattr(predictor, "network", None)) is not None:
            stage.run.draw(network, (predictor.lookback_bars, n_features))
        log_predictor(stage.run, paths.PREDICTORS / name, predictor.lookback_bars, n_features)
        write_table(paths.PREDICTOR_SIGNALS / f"{name}.parquet", signals)
        for span in ("train", "validation"):
            rows = getattr(data.splits, span).labelled(data.labels)
            stage.report(forecast_metrics(signals, data.labels[rows], prefix=f"{span}_"))
        with whole_folder(paths.EXPORTS / name) as folder:
            rows = np.flatnonzero(data.windows.whole)
            compared = data.windows.ending_at(rows[:: -(-len(rows) // EXPORT_WINDOWS)])
            differences = predictor.export(folder, compared)
            write_json(folder / "parity.json", differences)
        stage.report({f"{kind}_difference": difference for kind, difference in differences.items()})
    # Kinds without epochs have none to keep.
    stage.finish_checkpoints(checkpoints(name), getattr(config, "keep_checkpoints", False))


def train(
    name: str, config: Any, params: Params, on_epoch: OnEpoch, run: Map = in_turn
) -> tuple[LearningData, Predictor, pd.DataFrame]:
    """The predictor and its signals, from what the stages before have written; several ranks train it together."""
    kind = predictor_class(config.kind)
    seed_torch(params.seed, params.threads)
    data = learning_data(
        config.lookback_bars,
        read_features(paths.FEATURES),
        read_table(paths.LABELS),
        class_names(params.labels),
        tuple(read_json(paths.FEATURE_PIPELINE)["names"]),
        Splits.from_dict(read_json(paths.SPLITS)),
    )
    folder = checkpoints(name)
    return data, *train_with_signals(kind, config, data, params.splits, params.seed, on_epoch, folder, run)


def checkpoints(name: str) -> Path:
    return paths.CHECKPOINTS / "predictors" / name


def with_loss_ratio(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics of an epoch and, if they have both losses, that on the selection rows over that in training."""
    if metrics.get("train_loss", 0.0) > 0 and "selection_loss" in metrics:
        return {**metrics, "loss_ratio": metrics["selection_loss"] / metrics["train_loss"]}
    return dict(metrics)


if __name__ == "__main__":
    main()
