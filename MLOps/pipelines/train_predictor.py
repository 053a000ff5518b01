"""One predictor of params.yaml, and its signals: out of fold in the training span."""

import sys
from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from MLOps.artifacts import read_json, read_table, whole_folder, write_json, write_table
from MLOps.config.labels import class_names
from MLOps.config.predictors import parse_predictor
from MLOps.data.splits import Splits
from MLOps.deployment.predictor_logging import log_predictor
from MLOps.evaluation.forecasts import forecast_metrics
from MLOps.features.dataset import read_features
from MLOps.pipelines import paths
from MLOps.pipelines.failures import exit_with_sentence
from MLOps.pipelines.stage import Stage
from MLOps.predictors.kinds import predictor_class
from MLOps.predictors.learning import learning_data
from MLOps.predictors.signals import train_with_signals
from MLOps.training.determinism import seed_torch

EXPORT_WINDOWS = 1000  # an exported network is compared with the predictor on at most as many


def main() -> None:
    name = sys.argv[1]
    tuned = paths.TUNED / f"{name}.json"
    with exit_with_sentence(f"train_predictor/{name}"):
        config = parse_predictor(read_json(tuned), str(tuned))
    checkpoints = paths.CHECKPOINTS / "predictors" / name
    with Stage("train_predictor", name, predictor=asdict(config)) as stage:
        stage.run.watch_system()
        labels, splits = read_table(paths.LABELS), Splits.from_dict(read_json(paths.SPLITS))
        feature_names = tuple(read_json(paths.FEATURE_PIPELINE)["names"])
        kind = predictor_class(config.kind)
        seed_torch(stage.params.seed, stage.params.threads)
        data = learning_data(
            config.lookback_bars,
            read_features(paths.FEATURES),
            labels,
            class_names(stage.params.labels),
            feature_names,
            splits,
        )

        def log(epoch: int, metrics: Mapping[str, float]) -> None:
            stage.log(epoch, with_loss_ratio(metrics))

        with stage.executor() as run:
            predictor, signals = train_with_signals(
                kind,
                config,
                data,
                stage.params.splits,
                stage.params.seed,
                log,
                checkpoints,
                run,
            )
        with whole_folder(paths.PREDICTORS / name) as folder:
            predictor.save(folder)
        # Kinds that are no network have no graph.
        if (network := getattr(predictor, "network", None)) is not None:
            stage.run.draw(network, (predictor.lookback_bars, len(feature_names)))
        log_predictor(stage.run, paths.PREDICTORS / name, predictor.lookback_bars, len(feature_names))
        write_table(paths.PREDICTOR_SIGNALS / f"{name}.parquet", signals)
        for span in ("train", "validation"):
            rows = getattr(splits, span).labelled(labels)
            stage.report(forecast_metrics(signals, labels[rows], prefix=f"{span}_"))
        with whole_folder(paths.EXPORTS / name) as folder:
            rows = np.flatnonzero(data.windows.whole)
            compared = data.windows.ending_at(rows[:: -(-len(rows) // EXPORT_WINDOWS)])
            differences = predictor.export(folder, compared)
            write_json(folder / "parity.json", differences)
        stage.report({f"{kind}_difference": difference for kind, difference in differences.items()})
    # Kinds without epochs have none to keep.
    stage.finish_checkpoints(checkpoints, getattr(config, "keep_checkpoints", False))


def with_loss_ratio(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics of an epoch and, if they have both losses, that on the selection rows over that in training."""
    if metrics.get("train_loss", 0.0) > 0 and "selection_loss" in metrics:
        return {**metrics, "loss_ratio": metrics["selection_loss"] / metrics["train_loss"]}
    return dict(metrics)


if __name__ == "__main__":
    main()
