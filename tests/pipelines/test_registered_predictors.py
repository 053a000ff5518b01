"""Trained predictors in the registry: what they predict, what their versions say and hold, and where the page is."""

import os
import re
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from MLOps.artifacts import content_hash, read_json
from MLOps.predictors.kinds import load_predictor
from MLOps.predictors.windows import Windows
from tests.project import Project

PREFIX = "trading-predictor-"


def check_registered(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every predictor has a version with its verdict and figures, which predicts as the one in models/predictors."""
    monkeypatch.chdir(project.folder)
    mlflow.set_tracking_uri(f"sqlite:///{project.folder}/mlflow.db")
    client = project.client()
    features = pd.read_parquet("data/processed/features")
    names = tuple(read_json(Path("data/processed/feature_pipeline.json"))["names"])
    scored = read_json(Path("reports/backtest/predictors.json"))["predictors"]
    verdicts = read_json(Path("reports/verdicts.json"))["verdicts"]
    models = {model.name for model in client.search_registered_models()} - {"trading-agent"}
    assert models == {f"{PREFIX}{verdict['predictor']}" for verdict in verdicts}
    for verdict in verdicts:
        name = verdict["predictor"]
        version = client.get_model_version_by_alias(f"{PREFIX}{name}", "candidate")
        aliases = client.get_registered_model(f"{PREFIX}{name}").aliases
        assert aliases == ({"candidate": 1, "champion": 1} if verdict["passed"] else {"candidate": 1})
        assert version.tags["predictor"] == content_hash(Path("models/predictors") / name)
        assert version.tags["verdict"] == ("passed" if verdict["passed"] else "failed")
        assert version.tags["conclusion"] == verdict["conclusion"]
        assert version.tags["convergence"].startswith(verdict["convergence"]["state"])
        for part in ("direction", "magnitude"):
            assert version.tags[part].startswith("passed" if part in verdict["skilled_in"] else "failed")
            assert f"{verdict[part]['gain']:.4g}" in version.tags[part]
        for score, estimate in scored[name]["scores"].items():
            assert version.tags[f"test_{score}"].split(" ")[0] == f"{estimate['value']:.4g}"
        assert f"{name} {verdict['conclusion']}." in (version.description or "")
        # The link on the version leads to the page that the pipeline wrote.
        link = re.search(r"\(#/experiments/\w+/runs/(\w+)/artifacts/(\S+)\)", version.description or "")
        assert link is not None
        assert Path(client.download_artifacts(*link.groups())).read_bytes() == Path("reports/index.html").read_bytes()
        # The model is the one that the training logged.
        assert version.run_id is not None
        assert client.get_run(version.run_id).data.tags["mlflow.runName"] == f"train_predictor/{name}"
        saved = load_predictor(Path("models/predictors") / name)
        windows = Windows(features, names, saved.lookback_bars)
        given = windows.ending_at(np.flatnonzero(windows.whole)[-50:])
        model = mlflow.pyfunc.load_model(f"models:/{PREFIX}{name}@{'champion' if verdict['passed'] else 'candidate'}")
        np.testing.assert_array_equal(model.predict(given), saved.predict(given).probabilities)


def test_predictors_are_registered_with_their_verdicts(finished: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    check_registered(finished, monkeypatch)
    (agent,) = finished.client().search_model_versions("name = 'trading-agent'")
    link = re.search(r"\(#/experiments/1/runs/(\w+)/artifacts/report/index.html\)", agent.description or "")
    assert link is not None and link.group(1) == agent.run_id


def test_a_registered_predictor_is_code_and_data(finished: Project) -> None:
    for name in ("lstm", "logistic"):
        folder = Path(finished.client().get_model_version_download_uri(f"{PREFIX}{name}", "1"))
        for path in (p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
            inside, head = path.relative_to(folder), path.read_bytes()[:4]
            if inside.parts[0] == "artifacts":
                assert path.suffix in {".json", ".safetensors"}, inside
            assert not (head[:1] == b"\x80" and b"\x02" <= head[1:2] <= b"\x05"), inside  # a pickle
            assert not head.startswith(b"PK"), inside  # an archive of one


def imported(project: Project) -> str:
    """What a promotion imports that changes nothing."""
    words = [sys.executable, "-X", "importtime", "-m", "MLOps.pipelines.promote"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    done = subprocess.run(words, cwd=project.folder, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("(nothing new)\n")
    return done.stderr


def test_a_repeat_does_without_mlflow(finished: Project) -> None:
    assert "mlflow" not in imported(finished)


@pytest.mark.slow
def test_a_lost_predictor_is_registered_anew(own: Project) -> None:
    folder = Path(own.client().get_model_version_download_uri(f"{PREFIX}lstm", "1"))
    (folder / "artifacts/lstm/weights.safetensors").unlink()
    told = own.run("MLOps.pipelines.promote").stdout
    assert f"{PREFIX}lstm version 1: its files" in told and "registered anew" in told
    client = own.client()
    assert client.get_registered_model(f"{PREFIX}lstm").aliases["candidate"] == 2
    assert client.get_registered_model(f"{PREFIX}logistic").aliases["candidate"] == 1
    whole = Path(client.get_model_version_download_uri(f"{PREFIX}lstm", "2")) / "artifacts/lstm"
    assert content_hash(whole) == content_hash(own.folder / "models/predictors/lstm")
    assert "mlflow" not in imported(own)
    # A file of a predictor is looked after as one of the bundle is.
    (whole / "predictor.json").write_text("{}")
    assert "mlflow" in imported(own)
