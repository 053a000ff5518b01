"""One predictor of params.yaml, and its signals: out of fold in the training span."""

import shutil
import sys

import numpy as np

from MLOps.artifacts import read_json, read_table, whole_folder, write_table
from MLOps.config.predictors import parse_predictor
from MLOps.data.splits import Splits
from MLOps.deployment.logged import log_predictor
from MLOps.determinism import repeat_torch
from MLOps.evaluation.classification import confusion, forecast_metrics
from MLOps.evaluation.figures import calibration_figure, confusion_figure, training_figure
from MLOps.features.pipeline import FeaturePipeline
from MLOps.pipelines import paths
from MLOps.pipelines.stage import Stage
from MLOps.predictors import PREDICTORS
from MLOps.predictors.signals import train_with_signals
from MLOps.predictors.windows import Windows


def main() -> None:
    name = sys.argv[1]
    with Stage("train_predictor", name) as stage:
        stage.run.watch_system()
        tuned = paths.TUNED / f"{name}.json"
        config = parse_predictor(read_json(tuned), str(tuned))
        features, labels = read_table(paths.FEATURES), read_table(paths.LABELS)
        splits = Splits.from_dict(read_json(paths.SPLITS))
        pipeline = FeaturePipeline.from_dict(read_json(paths.FEATURE_PIPELINE))
        repeat_torch(stage.params.seed, stage.params.threads)
        predictor, signals = train_with_signals(
            PREDICTORS[config.kind],
            config,
            features,
            labels,
            pipeline.names,
            splits,
            stage.params.splits,
            stage.params.seed,
            stage.log,
            paths.CHECKPOINTS / name,
        )
        with whole_folder(paths.PREDICTORS / name) as folder:
            predictor.save(folder)
        windows = Windows(features, pipeline.names, predictor.lookback_bars)
        log_predictor(stage.run, paths.PREDICTORS / name, windows.ending_at(np.flatnonzero(windows.whole)[-2:]))
        write_table(paths.PREDICTOR_SIGNALS / f"{name}.parquet", signals)
        for span in ("train", "validation"):
            rows = getattr(splits, span).labelled(labels)
            bars_per_year = stage.params.backtest.bars_per_year
            stage.report(forecast_metrics(signals, labels[rows], bars_per_year, prefix=f"{span}_"))
        validation = labels[splits.validation.labelled(labels)]
        training_figure(stage.record.history, stage.artifact("training.png"))
        confusion_figure(confusion(signals, validation), stage.artifact("confusion.png"))
        calibration_figure({name: signals}, validation, stage.artifact("calibration.png"))
    # The outputs are whole, so nothing needs to be resumed any more.
    shutil.rmtree(paths.CHECKPOINTS / name, ignore_errors=True)


if __name__ == "__main__":
    main()
