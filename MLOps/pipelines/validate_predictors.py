"""Each predictor probed, judged on validation and explained; the ensemble of those that pass."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from MLOps.artifacts import read_json, read_table, whole_file, write_json, write_table
from MLOps.config.labels import class_names
from MLOps.data.splits import Splits
from MLOps.evaluation import plots
from MLOps.evaluation.convergence import constant_losses, convergence, fold_losses
from MLOps.evaluation.forecasts import classification_metrics, confusion, implied_metrics
from MLOps.evaluation.validation import validate
from MLOps.evaluation.verdicts import PARTS, Verdict
from MLOps.features.dataset import read_features
from MLOps.pipelines import paths
from MLOps.pipelines.stage import Stage
from MLOps.predictors.contract import Predictor
from MLOps.predictors.ensemble import ENSEMBLE
from MLOps.predictors.kinds import load_predictor
from MLOps.predictors.occlusion import occlusion
from MLOps.predictors.signals import aligned
from MLOps.predictors.windows import Windows
from MLOps.progress import with_progress
from MLOps.training.determinism import seed_torch
from MLOps.training.seeds import derive_seed

USUAL_WINDOWS = 256  # whose median stands for a feature as usual


def main() -> None:
    with Stage("validate_predictors") as stage:
        features, labels = read_features(paths.FEATURES), read_table(paths.LABELS)
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
        trainings = {}
        for name, predictor in with_progress(list(predictors.items()), "predictors"):
            report(stage, name, verdicts[name])
            trainings[name] = training(stage, name, predictor, tables[name], labels, splits)
            if bars_per_year is not None:
                stage.report(implied_metrics(tables[name], validation, bars_per_year, f"{name}_implied_"))
            windows = Windows(features, feature_names, predictor.lookback_bars)
            rows = np.flatnonzero(windows.whole & in_validation)
            seed = derive_seed(stage.params.seed, "explain", name)
            explained = predictor.explain(windows, rows, labels["label"].to_numpy()[rows], seed)
            draw(stage, name, tables[name], validation, explained, names, feature_names)
            decision = one_decision(predictor, windows, rows, labels, tables[name], names)
            importance = {key: given.tolist() for key, given in explained.items() if key.startswith("importance_")}
            explanations = {"features": list(feature_names), **importance, "decision": decision}
            write_json(stage.artifact(f"{name}/explanations.json"), explanations)

        write_table(paths.SIGNALS, signals)
        table = [{**verdict.to_dict(), **trainings[name]} for name, verdict in verdicts.items()]
        for path in (paths.VERDICTS, stage.artifact("verdicts.json")):
            write_json(path, {"verdicts": table, "ensemble": ensemble.to_dict()})
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
            print(f"{name}: {trainings[name]['convergence']['state']}: {trainings[name]['convergence']['reason']}")


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


def training(
    stage: Stage, name: str, predictor: Predictor, signals: pd.DataFrame, labels: pd.DataFrame, splits: Splits
) -> dict[str, Any]:
    """How the training went, for the verdict: its convergence, and the log loss of each fold."""
    history = pd.read_csv(paths.HISTORY / "train_predictor" / name / "history.csv")
    config = getattr(predictor, "config", None)
    found = convergence(history, *constant_losses(labels, splits, config))
    folds = fold_losses(signals, labels, splits)
    losses = [fold["log_loss"] for fold in folds]
    stage.report(
        {
            f"{name}_converged": found.state == "converged",
            f"{name}_fold_log_loss_mean": float(np.mean(losses)),
            f"{name}_fold_log_loss_std": float(np.std(losses, ddof=1)),
        }
    )
    return {"convergence": asdict(found), "folds": folds}


def one_decision(
    predictor: Predictor,
    windows: Windows,
    rows: np.ndarray,
    labels: pd.DataFrame,
    signals: pd.DataFrame,
    names: tuple[str, ...],
) -> dict[str, Any]:
    """The most confident forecast at `rows`, what happened, and `occlusion` by feature."""
    given = signals.iloc[aligned(labels.iloc[rows], signals)]
    place = int(given["confidence"].to_numpy().argmax())
    forecast, happened = given.iloc[place], labels.iloc[rows[place]]
    usual = np.nanmedian(windows.ending_at(rows[:: -(-len(rows) // USUAL_WINDOWS)]), axis=0)
    fall = occlusion(predictor, windows.ending_at(rows[[place]])[0], usual)
    return {
        "timestamp": happened["timestamp"].isoformat(),
        "symbol": str(happened["symbol"]),
        "forecast": names[int(forecast["class"])],
        "happened": names[int(happened["label"])],
        "probability": float(forecast["confidence"]),
        "expected_return": float(forecast["expected_return"]),
        "occlusion": fall.tolist(),
    }


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
    for metric, curve in plots.epoch_tables(history).items():
        with whole_file(stage.artifact(f"epochs/{metric}/{name}.csv")) as temporary:
            curve.to_csv(temporary)
    plots.confusion_plot(confusion(signals, validation), names, stage.artifact(f"{name}/confusion.png"))
    plots.calibration_plot({name: signals}, validation, stage.artifact(f"{name}/calibration.png"))
    plots.explanation_plots(explained, feature_names, stage.record.folder / name)


if __name__ == "__main__":
    main()
