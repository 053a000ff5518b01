"""The section of the page on the predictors: verdicts, the test span, training, explanations."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from MLOps.artifacts import read_json
from MLOps.reporting.charts import Line, line_chart, reliability_chart

FEATURES_SHOWN = 12  # of an explanation, the strongest
SCORES = {  # on the test span: title and format
    "log_loss": ("log loss", ".3f"),
    "gain_over_class_prior": ("gain over class prior", ".3f"),
    "gain_over_persistence": ("gain over persistence", ".3f"),
    "accuracy": ("accuracy", ".1%"),
    "f1_macro": ("F1", ".3f"),
    "calibration_error": ("calibration error", ".3f"),
    "r2": ("R²", ".3f"),
    "rank_ic": ("rank IC", ".3f"),
    "implied_sharpe": ("implied Sharpe", ".2f"),
}


def predictors(reports: Path) -> dict[str, Any] | None:
    """Verdicts on validation, and of each predictor what the test span and its explanations showed."""
    verdicts, scores = _read(reports / "verdicts.json"), _read(reports / "backtest" / "predictors.json")
    if verdicts is None:
        return None
    judged = {verdict["predictor"]: verdict for verdict in verdicts["verdicts"]}
    scored = (scores or {}).get("predictors", {})
    return {
        "verdicts": [{**verdict, "spread": _spread(verdict.get("folds", []))} for verdict in judged.values()],
        "members": verdicts["ensemble"].get("members", []),
        "scores": {
            name: shape for name, shape in SCORES.items() if any(name in own["scores"] for own in scored.values())
        },
        "span": (scores or {}).get("span"),
        "confidence": (scores or {}).get("confidence"),
        "test": scored,
        "details": [_details(reports, name, scored.get(name)) for name in dict.fromkeys([*judged, *scored])],
    }


def _details(reports: Path, name: str, scored: dict[str, Any] | None) -> dict[str, Any]:
    details: dict[str, Any] = {"name": name}
    if scored:
        curves = {
            of_class: [(point["forecast"], point["observed"]) for point in scored["calibration"][of_class]]
            for of_class in scored["classes"]
        }
        details["calibration"] = reliability_chart(curves, f"Observed frequency by forecast probability, {name}")
        counts = np.array(scored["confusion"], float)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        details["confusion"] = {
            "classes": scored["classes"],
            "rows": [
                [{"count": int(count), "share": float(share)} for count, share in zip(*row, strict=True)]
                for row in zip(counts, shares, strict=True)
            ],
        }
    history = reports / "history" / "train_predictor" / name / "history.csv"
    if history.exists():
        table = pd.read_csv(history)
        if len(table) > 1:
            steps = table["step"].to_numpy(float)
            lines = [
                Line(title, steps, table[column].to_numpy(float))
                for title, column in (("training loss", "train_loss"), ("selection loss", "selection_loss"))
                if column in table
            ]
            details["training"] = line_chart(lines, ".3f", f"Loss by epoch, {name}", 220)
    explained = _read(reports / "records" / "validate_predictors" / name / "explanations.json")
    if explained:
        features = explained["features"]
        if "importance_features" in explained:
            details["importance"] = strongest(features, explained["importance_features"])
        details["decision"] = explained["decision"]
        details["occlusion"] = strongest(features, explained["decision"]["occlusion"])
    return details


def strongest(names: list[str], values: list[float]) -> list[dict[str, Any]]:
    """The FEATURES_SHOWN largest values in size, with the width of a bar in percent of the largest."""
    order = sorted(range(len(names)), key=lambda number: -abs(values[number]))[:FEATURES_SHOWN]
    largest = abs(values[order[0]]) if order else 0.0
    return [
        {"name": names[i], "value": values[i], "width": round(100 * abs(values[i]) / largest, 1) if largest else 0.0}
        for i in order
    ]


def _spread(folds: list[dict[str, float]]) -> dict[str, float] | None:
    losses = [fold["log_loss"] for fold in folds]
    if not losses:
        return None
    return {"mean": float(np.mean(losses)), "lowest": min(losses), "highest": max(losses), "folds": len(losses)}


def _read(path: Path) -> Any:
    return read_json(path) if path.exists() else None
