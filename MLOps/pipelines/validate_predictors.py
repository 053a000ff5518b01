"""Each predictor probed, judged on validation and explained; the ensemble of those that pass."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from MLOps.artifacts import read_json, read_table, whole_file, write_json, write_table
from MLOps.config.labels import class_names
from MLOps.data.splits import Splits
from MLOps.evaluation import plots
from MLOps.evaluation.forecasts import classification_metrics, confusion, implied_metrics
from MLOps.evaluation.validation import validate
from MLOps.evaluation.verdicts import PARTS, Verdict
from MLOps.pipelines import paths
from MLOps.pipelines.stage import Stage
from MLOps.predictors.ensemble import ENSEMBLE
from MLOps.predictors.kinds import load_predictor
from MLOps.predictors.windows import Windows
from MLOps.training.determinism import seed_torch
from MLOps.training.seeds import derive_seed


def main() -> None:
    with Stage("validate_predictors") as stage:
        features, labels = read_table(paths.FEATURES), read_table(paths.LABELS)
        names = class_names(stage.params.labels)
        splits = Splits.from_dict(read_json(paths.SPLITS))
        feature_names = tuple(read_json(paths.FEATURE_PIPELINE)["names"])
        bars_per_year = read_json(paths.CLOCK)["bars_per_year"]
        predictors = {name: load_predictor(paths.PREDICTORS / name) for name in stage.params.predictors}
        seed_torch(stage.params.seed, stage.params.threads)
        in_validation = splits.validation.labelled(labels)
        validation = labels[in_validation]
        tables = {name: read_table(paths.PREDICTOR_SIGNALS / f"{name}.parquet") for name in predictors}
        judged = validate(predictors, tables, features, feature_names, labels, names, splits, stage.params.validation)
        verdicts, ensemble, signals = judged.verdicts, judged.ensemble, judged.signals
        for name, predictor in predictors.items():
            report(stage, name, verdicts[name])
            if bars_per_year is not None:
                stage.report(implied_metrics(tables[name], validation, bars_per_year, f"{name}_implied_"))
            windows = Windows(features, feature_names, predictor.lookback_bars)
            rows = np.flatnonzero(windows.whole & in_validation)
            seed = derive_seed(stage.params.seed, "explain", name)
            explained = predictor.explain(windows, rows, labels["label"].to_numpy()[rows], seed)
            draw(stage, name, tables[name], validation, explained, names, feature_names)

        write_table(paths.SIGNALS, signals)
        for path in (paths.VERDICTS, stage.artifact("verdicts.json")):
            write_json(path, {"verdicts": [v.to_dict() for v in verdicts.values()], "ensemble": ensemble.to_dict()})
        combined = signals[signals["predictor"] == ENSEMBLE]
        stage.report({"members": len(ensemble.members), **classification_metrics(combined, validation, "ensemble_")})
        for name, points in plots.calibration_tables(combined, validation).items():
            with whole_file(stage.artifact(f"calibration/{name}.csv")) as temporary:
                points.to_csv(temporary, index=False)
        plots.calibration_plot({**tables, ENSEMBLE: combined}, validation, stage.artifact("calibration.png"))
        for name, verdict in verdicts.items():
            left_out = verdict.passed and name not in ensemble.members
            use = stage.params.validation.use[0]
            print(f"{name}: {verdict.conclusion}{f'; left out: validation.use is {use}' if left_out else ''}")


def report(stage: Stage, name: str, verdict: Verdict) -> None:
    """The verdict as metrics."""
    stage.report(
        {
            f"{name}_log_loss": verdict.log_loss,
            f"{name}_passed": verdict.passed,
            **{f"{name}_gain_over_{c.baseline}": c.gain for c in verdict.comparisons},
            **{f"{name}_{part}_gain": getattr(verdict, part).gain for part in PARTS},
            **{f"{name}_skill_in_{part}": part in verdict.skilled_in for part in PARTS},
            **{f"{c.baseline}_log_loss": c.baseline_log_loss for c in verdict.comparisons},
        }
    )


def draw(
    stage: Stage,
    name: str,
    signals: pd.DataFrame,
    validation: pd.DataFrame,
    explained: Mapping[str, np.ndarray],
    names: tuple[str, ...],
    feature_names: tuple[str, ...],
) -> None:
    """The plots of one predictor: training, forecasts and explanations."""
    history = pd.read_csv(paths.HISTORY / "train_predictor" / name / "history.csv", index_col="step")
    plots.training_plot(history, stage.artifact(f"{name}/training.png"))
    plots.confusion_plot(confusion(signals, validation), names, stage.artifact(f"{name}/confusion.png"))
    plots.calibration_plot({name: signals}, validation, stage.artifact(f"{name}/calibration.png"))
    plots.explanation_plots(explained, feature_names, stage.record.folder / name)


if __name__ == "__main__":
    main()
