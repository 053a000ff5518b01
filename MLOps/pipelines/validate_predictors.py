"""Each predictor loaded from disk, probed and judged on validation; the ensemble of those that are of use."""

import numpy as np

from MLOps.artifacts import read_json, read_table, write_json, write_table
from MLOps.data.splits import Splits
from MLOps.determinism import repeat_torch
from MLOps.evaluation.classification import classification_metrics, implied_metrics
from MLOps.evaluation.figures import calibration_figure
from MLOps.evaluation.verdicts import PARTS, check_signals, judge, probe
from MLOps.features.labels import class_names
from MLOps.features.pipeline import FeaturePipeline
from MLOps.pipelines import paths
from MLOps.pipelines.stage import Stage
from MLOps.predictors import load_predictor
from MLOps.predictors.baselines import class_prior
from MLOps.predictors.ensemble import ENSEMBLE, Ensemble
from MLOps.predictors.windows import Windows

PROBE_WINDOWS = 8


def main() -> None:
    with Stage("validate_predictors") as stage:
        repeat_torch(stage.params.seed, stage.params.threads)
        features, labels = read_table(paths.FEATURES), read_table(paths.LABELS)
        classes = class_names(stage.params.labels)
        splits = Splits.from_dict(read_json(paths.SPLITS))
        pipeline = FeaturePipeline.from_dict(read_json(paths.FEATURE_PIPELINE))
        verdicts, tables = {}, {}
        for name in stage.params.predictors:
            predictor = load_predictor(paths.PREDICTORS / name)
            windows = Windows(features, pipeline.names, predictor.lookback_bars)
            probe(predictor, windows.ending_at(np.flatnonzero(windows.whole)[:PROBE_WINDOWS]), len(classes), name)
            tables[name] = read_table(paths.PREDICTOR_SIGNALS / f"{name}.parquet")
            verdict = judge(name, tables[name], labels, splits, stage.params.validation)
            verdicts[name] = verdict
            stage.report(
                {
                    f"{name}_log_loss": verdict.log_loss,
                    f"{name}_passed": verdict.passed,
                    **{f"{name}_gain_over_{c.baseline}": c.gain for c in verdict.comparisons},
                    **{f"{name}_{part}_gain": getattr(verdict, part).gain for part in PARTS},
                    **{f"{name}_knows_{part}": part in verdict.knows for part in PARTS},
                }
            )
            for comparison in verdict.comparisons:
                stage.report({f"{comparison.baseline}_log_loss": comparison.baseline_log_loss})

        validation = labels[splits.validation.labelled(labels)]
        clock = read_json(paths.CLOCK)
        for name in verdicts if "skipped" not in clock else ():
            stage.report(implied_metrics(tables[name], validation, clock["bars_per_year"], f"{name}_implied_"))
        use = stage.params.validation.use
        train = labels[splits.train.labelled(labels)]
        ensemble = Ensemble.fit(
            stage.params.validation.ensemble,
            classes,
            {name: verdict.gain_over("class_prior") for name, verdict in verdicts.items() if verdict.is_useful(use)},
            tables,
            train,
            class_prior(train["label"].to_numpy(int), len(classes)),
        )
        signals = ensemble.combine(features[features[list(pipeline.names)].notna().any(axis=1)], tables)
        write_table(paths.SIGNALS, signals)
        for path in (paths.VERDICTS, stage.artifact("verdicts.json")):
            write_json(path, {"verdicts": [v.to_dict() for v in verdicts.values()], "ensemble": ensemble.to_dict()})
        combined = signals[signals["predictor"] == ENSEMBLE]
        check_signals(combined.head(PROBE_WINDOWS), ENSEMBLE)
        stage.report({"members": len(ensemble.members), **classification_metrics(combined, validation, "ensemble_")})
        calibration_figure(
            {**{n: tables[n] for n in verdicts}, ENSEMBLE: combined}, validation, stage.artifact("calibration.png")
        )
        for name, verdict in verdicts.items():
            left_out = verdict.passed and name not in ensemble.members
            print(f"{name}: {verdict.conclusion}{f'; left out: validation.use is {use[0]}' if left_out else ''}")


if __name__ == "__main__":
    main()
