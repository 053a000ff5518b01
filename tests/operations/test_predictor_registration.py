"""Predictors in a real registry: once per content whatever happens, and the aliases that their verdicts give them."""

import shutil
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest

from MLOps.artifacts import content_hash
from MLOps.config.predictors import ClassPriorConfig
from MLOps.config.tracking import TrackingConfig
from MLOps.experiment_tracking.record import Record
from MLOps.experiment_tracking.runs import Runs
from MLOps.model_registry.versions import CANDIDATE, CHAMPION, PREDICTOR_TAG, Registry
from MLOps.operations.model_card import LONGEST, predictor_card
from MLOps.operations.predictor_promotion import promote_predictor
from MLOps.operations.registration import register_predictor
from MLOps.operations.restoration import log_saved_predictor
from MLOps.predictors.class_prior import ClassPriorPredictor
from tests.project import ROOT

FEATURES = 3
NOTHING = {"gain": -0.01, "lower": -0.02, "upper": 0.0}
PASSED = {
    "predictor": "prior",
    "passed": True,
    "conclusion": "passed: skill in direction, none in magnitude",
    "skilled_in": ["direction"],
    "log_loss": 1.05,
    "comparisons": [{"baseline": "class_prior", "gain": 0.02, "lower": 0.01, "upper": 0.03}],
    "direction": {"gain": 0.02, "lower": 0.01, "upper": 0.03},
    "magnitude": NOTHING,
    "convergence": {"state": "converged", "reason": "the best epoch was the third"},
}
FAILED = {**PASSED, "passed": False, "conclusion": "failed: the validation span is too short", "skilled_in": []}
SCORES = {"accuracy": {"value": 0.4, "lower": 0.35, "upper": 0.45}, "r2": {"value": 0.0, "lower": None, "upper": None}}


class Workshop:
    """Trains predictors that differ by a number, with runs as `train_predictor` leaves them, and registers them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        uri = f"sqlite:///{folder}/mlflow.db"
        self.runs = Runs(TrackingConfig(uri=uri, experiment="t", registered_model="m"))
        self.registry = Registry(self.runs.client, "trading-predictor-prior", PREDICTOR_TAG)

    def train(self, share: float) -> Record:
        saved = self.folder / "models" / "prior"
        shutil.rmtree(saved, ignore_errors=True)
        arrays = {"shares": np.array([share, 1 - share]), "class_returns": np.array([-0.01, 0.01])}
        ClassPriorPredictor(ClassPriorConfig(kind="class_prior"), arrays).save(saved)
        records = self.folder / f"records {share}"
        record = Record("train_predictor/prior", records, {}, {}, outputs={"models/prior": content_hash(saved)})
        if self.runs.find(record) is None:
            run = self.runs.start(record)
            log_saved_predictor(run, saved, FEATURES)
            run.finish(record)
        return record

    def register(self, record: Record) -> tuple[str, bool]:
        return register_predictor(self.runs, self.registry, record, self.folder / "models" / "prior", FEATURES)

    def files(self, version: str) -> Path:
        return Path(self.runs.client.get_model_version_download_uri(self.registry.name, version))

    def aliases(self) -> tuple[str | None, str | None]:
        return self.registry.version_at(CANDIDATE), self.registry.version_at(CHAMPION)


@pytest.fixture
def workshop(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "dvc.yaml"):  # a run logs them
        shutil.copy2(ROOT / name, name)
    return Workshop(tmp_path)


def test_a_content_is_registered_once_and_whole(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    record = workshop.train(0.25)

    # A kill at once after MLflow made the version leaves a whole one, which the next run finds.
    register_model = mlflow.register_model

    def killed(*args: Any, **kwargs: Any) -> None:
        register_model(*args, **kwargs)
        raise KeyboardInterrupt

    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(mlflow, "register_model", killed)
        workshop.register(record)
    identity = content_hash(workshop.folder / "models" / "prior")
    assert workshop.register(record) == ("1", False)
    assert workshop.registry.versions_of(identity) == ["1"]
    runs = workshop.runs.client.search_runs([workshop.runs.experiment_id])
    assert [run.info.run_id for run in runs] == [workshop.registry.run_of("1")], "the training's run, and no other"
    # Trained again to the same bytes by other code: another run, the same version.
    again = Record("train_predictor/prior", workshop.folder / "other", {}, {"code": "other"})
    assert workshop.register(again) == ("1", False)
    assert workshop.register(workshop.train(0.5)) == ("2", True)
    served = mlflow.pyfunc.load_model("models:/trading-predictor-prior/2")
    np.testing.assert_allclose(served.predict(np.zeros((4, 1, FEATURES), np.float32)), np.full((4, 2), 0.5))

    # Files that were lost or altered: the model is logged again, and that is registered.
    (workshop.files("2") / "artifacts/prior/weights.safetensors").write_bytes(b"")
    version, is_new = workshop.register(workshop.train(0.5))
    assert (version, is_new) == ("3", True)
    assert content_hash(workshop.files("3") / "artifacts/prior") == content_hash(workshop.folder / "models" / "prior")
    assert workshop.register(workshop.train(0.5)) == ("3", False)
    # A model that is lost before it was ever registered.
    record = workshop.train(0.75)
    uri = workshop.runs.model_of(record)
    assert uri is not None
    shutil.rmtree(mlflow.artifacts.download_artifacts(uri))
    version, _ = workshop.register(record)
    assert content_hash(workshop.files(version) / "artifacts/prior") == content_hash(workshop.folder / "models/prior")


def test_the_verdict_moves_champion_and_a_failure_moves_candidate_alone(workshop: Workshop) -> None:
    registry = workshop.registry
    first, _ = workshop.register(workshop.train(0.25))
    assert promote_predictor(registry, first, FAILED, None)
    assert workshop.aliases() == (first, None)
    assert not promote_predictor(registry, first, FAILED, None), "again changes nothing"
    assert promote_predictor(registry, first, PASSED, SCORES), "judged anew at another level"
    assert workshop.aliases() == (first, first)
    assert not promote_predictor(registry, first, PASSED, SCORES)
    tags = registry.tags(first)
    assert (tags["verdict"], tags["conclusion"]) == ("passed", PASSED["conclusion"])
    assert tags["direction"] == "passed: gain 0.02 [0.01, 0.03] nats"
    assert tags["magnitude"] == "failed: gain -0.01 [-0.02, 0] nats"
    assert tags["convergence"] == "converged: the best epoch was the third"
    assert (tags["validation_log_loss"], tags["validation_gain_over_class_prior"]) == ("1.05", "0.02 [0.01, 0.03]")
    assert (tags["test_accuracy"], tags["test_r2"]) == ("0.4 [0.35, 0.45]", "0")
    second, _ = workshop.register(workshop.train(0.5))
    promote_predictor(registry, second, FAILED, SCORES)
    assert workshop.aliases() == (second, first)
    promote_predictor(registry, second, PASSED, SCORES)
    assert workshop.aliases() == (second, second)
    # The whole copy takes the place of a champion whose files are lost, whatever the verdict.
    shutil.rmtree(workshop.files(second))
    third, _ = workshop.register(workshop.train(0.5))
    promote_predictor(registry, third, FAILED, SCORES)
    assert workshop.aliases() == (third, third)


@pytest.mark.parametrize("many", [3, 2000])
def test_the_card_fits_and_names_the_page(many: int) -> None:
    features = [f"feature_{number}" for number in range(many)]
    classes = [f"class {number}" for number in range(many)]
    card = predictor_card(PASSED, SCORES, None, features, classes, "[Report page](#/experiments/1): in words.")
    assert len(card) <= LONGEST
    assert f"prior {PASSED['conclusion']}.\n\n[Report page](#/experiments/1): in words." in card
    assert card.endswith("`validation.confidence`.")
    assert ("test accuracy: 0.4 [0.35, 0.45]" in card) == (many == 3)
