"""Verdicts as the stage leaves them: direction and magnitude apart in the file, in MLflow, in words and in use."""

from pathlib import Path

import pandas as pd
import pytest

from MLOps.artifacts import read_json, write_json
from MLOps.data.splits import Splits
from MLOps.evaluation.verdicts import Comparison, Gain, Verdict
from MLOps.pipelines import paths, summary
from tests.project import Project


def test_direction_and_magnitude_are_told_apart_everywhere(finished: Project) -> None:
    verdicts = read_json(finished.folder / "reports/verdicts.json")["verdicts"]
    client = finished.client()
    (run,) = client.search_runs(["1"], "tags.stage = 'validate_predictors'")
    assert [verdict["predictor"] for verdict in verdicts] == ["lstm", "logistic"]
    page = finished.run("MLOps", "summary").stdout
    (jump,) = (f for f in read_json(finished.folder / "reports/quality.json")["findings"] if f["severity"] == "warning")
    assert f"1 × split-like jump ({jump['rows'][0]}): {jump['advice']}" in page
    for verdict in verdicts:
        name, over_prior = verdict["predictor"], verdict["comparisons"][0]
        assert over_prior["baseline"] == "class_prior"
        parts = verdict["direction"]["gain"] + verdict["magnitude"]["gain"]
        assert parts == pytest.approx(over_prior["gain"])
        assert verdict["horizon_bars"] == 5 and verdict["bars"] > 400
        for part in ("direction", "magnitude"):
            assert verdict[part]["lower"] < verdict[part]["gain"] < verdict[part]["upper"]
            assert (part in verdict["skilled_in"]) == (verdict[part]["lower"] > 1e-6)
            assert run.data.metrics[f"{name}_{part}_gain"] == pytest.approx(verdict[part]["gain"])
            assert run.data.metrics[f"{name}_skill_in_{part}"] == (part in verdict["skilled_in"])
        assert f"{name} {verdict['conclusion']}" in page
    shown = Path(client.download_artifacts(run.info.run_id, "report/verdicts.json"))
    assert read_json(shown) == read_json(finished.folder / "reports/verdicts.json")


def test_training_folds_and_one_decision_are_told(finished: Project) -> None:
    page = finished.run("MLOps", "summary").stdout
    metrics = read_json(finished.folder / "reports/metrics/validate_predictors/metrics.json")
    for verdict in read_json(finished.folder / "reports/verdicts.json")["verdicts"]:
        name, training = verdict["predictor"], verdict["convergence"]
        assert f"{name} training {training['state']}: {training['reason']}." in page
        assert metrics[f"{name}_converged"] == (training["state"] == "converged")
        losses = [fold["log_loss"] for fold in verdict["folds"]]
        assert len(losses) == 5
        assert metrics[f"{name}_fold_log_loss_mean"] == pytest.approx(sum(losses) / 5)
        explained = read_json(finished.folder / f"reports/records/validate_predictors/{name}/explanations.json")
        assert len(explained["decision"]["occlusion"]) == len(explained["features"])
        signals = pd.read_parquet(finished.folder / f"data/processed/signals/{name}.parquet")
        splits = Splits.from_dict(read_json(finished.folder / "data/processed/splits.json"))
        labels = pd.read_parquet(finished.folder / "data/processed/labels.parquet")
        keys = labels.loc[splits.validation.labelled(labels), ["timestamp", "symbol"]]
        judged = signals.merge(keys, on=["timestamp", "symbol"])
        assert explained["decision"]["probability"] == pytest.approx(judged["confidence"].max())


def test_the_test_span_is_scored_with_intervals(finished: Project) -> None:
    scored = read_json(finished.folder / "reports/backtest/predictors.json")["predictors"]
    metrics = read_json(finished.folder / "reports/metrics/backtest/metrics.json")
    assert set(scored) == {"lstm", "logistic", "ensemble"}
    for name, own in scored.items():
        assert sum(part["rows"] for part in own["by_symbol"].values()) == own["rows"]
        assert sum(part["rows"] for part in own["by_year"].values()) == own["rows"]
        for score, estimate in own["scores"].items():
            assert estimate["lower"] <= estimate["value"] <= estimate["upper"], score
            assert metrics[f"{name}_{score}"] == estimate["value"]


def test_skill_in_magnitude_alone_is_left_out_where_direction_is_asked_for(own: Project) -> None:
    verdicts = read_json(own.folder / "reports/verdicts.json")["verdicts"]
    silent = [v["predictor"] for v in verdicts if v["passed"] and "direction" not in v["skilled_in"]]
    assert silent, "the sample's predictors know how far prices move"
    own.set(validation__use=["direction"])
    output = own.run("dvc", "repro", "validate_predictors").stdout
    members = read_json(own.folder / "reports/verdicts.json")["ensemble"]["members"]
    assert members == [v["predictor"] for v in verdicts if v["passed"] and "direction" in v["skilled_in"]]
    for name in silent:
        assert f"{name}: passed: skill in magnitude, none in direction; left out: validation.use is direction" in output


def test_a_span_too_short_is_told_in_the_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = Gain(gain=0.01, lower=None, upper=None)
    comparison = Comparison(gain=0.01, lower=None, upper=None, baseline="class_prior", baseline_log_loss=1.1)
    verdict = Verdict("lstm", 100, 60, 1.09, (comparison,), nothing, nothing, ("the validation span is too short",))
    monkeypatch.chdir(tmp_path)
    write_json(paths.VERDICTS, {"verdicts": [verdict.to_dict()], "ensemble": {"members": []}})
    lines = summary.predictors()
    assert sum(line.count("[too few bars]") for line in lines) == 3
    assert lines[-1] == "lstm failed: the validation span is too short."
