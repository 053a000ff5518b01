"""A refit in the real pipeline: what was judged stays as it was, and the version that is served says what it is."""

import json
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from MLOps.artifacts import content_hash, read_json, read_table
from MLOps.config.params import load_params
from MLOps.data.splits import Splits
from MLOps.deployment.trading_model import TradingModel
from MLOps.evaluation.refit import refit
from MLOps.model_registry.versions import CANDIDATE, Registry
from MLOps.pipelines import paths
from MLOps.pipelines.refit import choices
from tests.project import Project

OF_REFIT = ("models/refit/", "reports/records/refit/", "reports/metrics/refit/")
OF_PROMOTION = ("reports/verdict.json", "reports/index.html")


@pytest.mark.slow
def test_a_refit_is_what_is_served_and_nothing_judged_moves(
    own: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = own.outputs()
    own.update({"walk_forward.refit": True})
    assert own.repro() == ["prepare", "choose_agent", "refit", "promote"]
    after = own.outputs()
    moved = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert [name for name in moved if not name.startswith((*OF_REFIT, *OF_PROMOTION))] == []
    assert {"reports/verdict.json", "reports/index.html", "models/refit/agent/policy.safetensors"} <= moved
    assert own.repro() == ["prepare", "choose_agent", "promote"]

    mlflow.set_tracking_uri(f"sqlite:///{own.folder}/mlflow.db")
    registry = Registry(own.client(), "trading-agent")
    assert registry.version_at(CANDIDATE) == "2"
    bars = read_table(own.folder / paths.BARS)
    bundle, newest = registry.bundle("2"), bars["timestamp"].max()
    metadata = read_json(bundle / "metadata.json")
    assert pd.Timestamp(metadata["splits"]["validation"]["end"]) > newest
    assert "test" not in metadata["splits"]
    assert pd.Timestamp(metadata["refit"]["trained_until"]) == newest
    assert metadata["refit"]["judged_splits"] == json.loads(before["data/processed/splits.json"])
    words = registry.tags("2")["refit"]
    assert f"Refit on all bars until {newest.date()}" in words
    assert words in (own.client().get_model_version("trading-agent", "2").description or "")
    assert words in after["reports/index.html"].decode()
    assert "refit" not in registry.tags("1")
    assert "refit" not in read_json(registry.bundle("1") / "metadata.json")
    model = TradingModel.load(bundle)
    assert len(model.decide(model.example_request(bars), 1000.0, {})) > 0

    # On the pipeline's own spans a refit gives the pipeline's own models.
    monkeypatch.chdir(own.folder)
    splits = Splits.from_dict(read_json(paths.SPLITS))
    refit(choices(load_params()), bars, splits, tmp_path / "checkpoints").save(tmp_path / "again")
    assert content_hash(tmp_path / "again/feature_pipeline.json") == content_hash(paths.FEATURE_PIPELINE)
    assert content_hash(tmp_path / "again/agent") == content_hash(paths.AGENTS / "ppo")
    for folder in (tmp_path / "again/predictors").iterdir():
        assert content_hash(folder) == content_hash(paths.PREDICTORS / folder.name)
    assert read_json(tmp_path / "again/refit.json")["ensemble"] == read_json(paths.VERDICTS)["ensemble"]

    own.update({"walk_forward.refit": False})
    own.repro()
    assert registry.version_at(CANDIDATE) == "1"
    assert {name: own.outputs()[name] for name in before} == before
