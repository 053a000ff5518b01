"""Splits, features and labels."""

from MLOps.artifacts import read_table, write_json, write_table
from MLOps.config.labels import class_names
from MLOps.config.params import load_params
from MLOps.data.bars import TEST_ROWS
from MLOps.data.splits import split
from MLOps.data.walk_forward import require_refit, require_windows, windows_of
from MLOps.features.chunks import write_features
from MLOps.features.fitting import fit_features
from MLOps.features.given import GivenFeatures
from MLOps.features.labels import make_labels, require_classes, unbalanced
from MLOps.features.pipeline import FeaturePipeline
from MLOps.pipelines import paths
from MLOps.pipelines.console import WARNING
from MLOps.pipelines.stage import Stage
from MLOps.pipelines.workers import workers_of


def main() -> None:
    with Stage("features") as stage:
        names = class_names(stage.params.labels)
        bars, config = read_table(paths.BARS), stage.params.splits
        if stage.params.data.source == "labelled":
            splits = split(bars["timestamp"], config, bars.attrs.get(TEST_ROWS, 0))
            pipeline: FeaturePipeline | GivenFeatures = GivenFeatures.fit(bars)
            labels = make_labels(bars, stage.params.labels)
        else:
            *_, own = windows_of(bars["timestamp"], config, stage.params.walk_forward)
            splits = own.splits(bars["timestamp"], config)
            pipeline = fit_features(stage.params.features.names, bars, splits.train, stage.params.trading)
            labels = make_labels(bars, stage.params.labels)
            require_windows(
                bars["timestamp"],
                config,
                stage.params.walk_forward,
                lambda window: require_classes(labels, names, window.splits(window.known(bars)["timestamp"], config)),
            )
            # Not among the stage's declared parameters, because no result depends on it.
            if load_params().walk_forward.refit:
                require_refit(
                    bars["timestamp"],
                    config,
                    stage.params.walk_forward,
                    lambda spans: require_classes(labels, names, spans),
                )
        chunk_symbols = stage.params.features.chunk_symbols
        with workers_of(stage) as run:
            write_features(paths.FEATURES, pipeline, bars, chunk_symbols, stage.params.threads, run)
        write_json(paths.SPLITS, splits.to_dict())
        write_json(paths.FEATURE_PIPELINE, pipeline.to_dict())
        write_table(paths.LABELS, labels)
        trained_on = labels[splits.train.labelled(labels)]
        if warning := unbalanced(trained_on["label"], names):
            print(f"{stage.name}: {WARNING} labels: {warning}")
        stage.report(
            {
                "features": len(pipeline.names),
                "warmup_bars": pipeline.warmup_bars,
                "train_rows": len(trained_on),
                "validation_rows": int(splits.validation.labelled(labels).sum()),
                "test_rows": int(splits.test.labelled(labels).sum()),
                **{f"train_share_{name}": (trained_on["label"] == c).mean() for c, name in enumerate(names)},
            }
        )


if __name__ == "__main__":
    main()
