"""One predictor of params.yaml, and its signals: out of fold in the training span."""

import shutil
import sys
from pathlib import Path

import numpy as np

from MLOps.artifacts import read_json, read_table, whole_folder, write_json, write_table
from MLOps.config.predictors import parse_predictor
from MLOps.data.splits import Splits
from MLOps.deployment.logged import log_predictor
from MLOps.determinism import repeat_torch
from MLOps.evaluation.classification import confusion, forecast_metrics
from MLOps.evaluation.figures import (
    calibration_figure,
    confusion_figure,
    importance_figure,
    map_figure,
    training_figure,
)
from MLOps.features.labels import class_names
from MLOps.features.pipeline import FeaturePipeline
from MLOps.pipelines import paths
from MLOps.pipelines.stage import Stage
from MLOps.predictors import PREDICTORS
from MLOps.predictors.network import NetworkPredictor
from MLOps.predictors.signals import train_with_signals
from MLOps.predictors.windows import Windows


def main() -> None:
    name = sys.argv[1]
    with Stage("train_predictor", name) as stage:
        stage.run.watch_system()
        tuned = paths.TUNED / f"{name}.json"
        config = parse_predictor(read_json(tuned), str(tuned))
        features, labels = read_table(paths.FEATURES), read_table(paths.LABELS)
        classes = class_names(stage.params.labels)
        splits = Splits.from_dict(read_json(paths.SPLITS))
        pipeline = FeaturePipeline.from_dict(read_json(paths.FEATURE_PIPELINE))
        repeat_torch(stage.params.seed, stage.params.threads)
        predictor, signals = train_with_signals(
            PREDICTORS[config.kind],
            config,
            features,
            labels,
            classes,
            pipeline.names,
            splits,
            stage.params.splits,
            stage.params.seed,
            stage.log,
            paths.CHECKPOINTS / name,
        )
        with whole_folder(paths.PREDICTORS / name) as folder:
            predictor.save(folder)
        log_predictor(stage.run, paths.PREDICTORS / name, len(pipeline.names))
        write_table(paths.PREDICTOR_SIGNALS / f"{name}.parquet", signals)
        for span in ("train", "validation"):
            rows = getattr(splits, span).labelled(labels)
            stage.report(forecast_metrics(signals, labels[rows], prefix=f"{span}_"))
        validation = labels[splits.validation.labelled(labels)]
        with whole_folder(paths.EXPORTS / name) as folder:
            if isinstance(predictor, NetworkPredictor):
                windows = Windows(features, pipeline.names, predictor.lookback_bars)
                parity = export_network(predictor, windows, folder)
                stage.report({f"{kind}_difference": difference for kind, difference in parity.items()})
                rows = np.flatnonzero(windows.whole & splits.validation.labelled(labels))
                explain(stage, predictor, windows, rows, labels["label"].to_numpy())
            else:
                parity = {}
            write_json(folder / "parity.json", parity)
        training_figure(stage.record.history, stage.artifact("training.png"))
        confusion_figure(confusion(signals, validation), classes, stage.artifact("confusion.png"))
        calibration_figure({name: signals}, validation, stage.artifact("calibration.png"))
    # The outputs are whole, so nothing needs to be resumed any more.
    shutil.rmtree(paths.CHECKPOINTS / name, ignore_errors=True)


def export_network(predictor: NetworkPredictor, windows: Windows, folder: Path) -> dict[str, float]:
    """Write the formats that the predictor's configuration asks for, compared on up to 1 000 windows."""
    if not predictor.config.export:
        return {}
    # Exporters take seconds to import, for those who ask for them.
    from MLOps.predictors.export import export

    rows = np.flatnonzero(windows.whole)
    return export(predictor, predictor.config.export, folder, windows.ending_at(rows[:: -(-len(rows) // 1000)]))


def explain(stage: Stage, predictor: NetworkPredictor, windows: Windows, rows: np.ndarray, classes: np.ndarray) -> None:
    """Figures of what `explain_windows` windows, evenly spread over `rows`, owe their forecasts to."""
    if not predictor.config.explain_windows:
        return
    # captum takes a second to import, for those who ask for explanations.
    from MLOps.predictors.explain import attention_maps, integrated_gradients, permutation_importance

    rows = rows[:: -(-len(rows) // predictor.config.explain_windows)]
    chosen = windows.ending_at(rows)
    parts = integrated_gradients(predictor, chosen)
    map_figure(parts.T, windows.names, "feature", "mean |integrated gradient|", stage.artifact("attribution.png"))
    by_feature, by_bar = permutation_importance(predictor, chosen, classes[rows], stage.params.seed)
    unit = "log loss gained by shuffling, nats"
    order = np.argsort(-by_feature)
    features = {windows.names[number]: by_feature[number] for number in order}
    importance_figure(features, unit, stage.artifact("importance_features.png"))
    lags = {str(bar - len(by_bar) + 1): value for bar, value in enumerate(by_bar)}
    importance_figure(lags, unit, stage.artifact("importance_bars.png"))
    for layer, weights in attention_maps(predictor, chosen).items():
        names = [str(bar - len(weights) + 1) for bar in range(len(weights))]
        map_figure(weights, names, "asking bar", "mean attention", stage.artifact(f"attention_{layer}.png"))


if __name__ == "__main__":
    main()
