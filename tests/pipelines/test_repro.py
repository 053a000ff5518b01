"""Laws of the pipeline as a whole, held against the real DVC and a real MLflow store."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from tests.project import Project

ALL_STAGES = [
    "prepare",
    "ingest",
    "validate_data",
    "features",
    "tune@lstm",
    "tune@logistic",
    "train_predictor@lstm",
    "train_predictor@logistic",
    "validate_predictors",
    "tune_agent@ppo",
    "train_agent@ppo",
    "ensemble_agents",
    "choose_agent",
    "backtest",
    "walk_forward",
    "refit",
    "promote",
]
ALWAYS = ["prepare", "choose_agent", "promote"]
# Those that compute something leave a record and a run; `tune` passes parameters through where no trial runs, and
# `ensemble_agents` and `refit` do nothing where they are not configured.
COMPUTING = [
    stage for stage in ALL_STAGES if stage not in ALWAYS and not stage.startswith(("tune", "ensemble", "refit"))
]


def test_a_forced_run_repeats_every_byte(finished: Project, own: Project) -> None:
    before = finished.outputs()
    assert own.repro("--force") == ALL_STAGES
    after = own.outputs()
    assert before.keys() == after.keys()
    assert [name for name in before if before[name] != after[name]] == []


def test_a_second_run_only_looks_at_what_is_used_and_at_the_registry(own: Project) -> None:
    runs_before = len(own.client().search_runs(["1"]))
    assert own.repro() == ALWAYS
    versions = own.client().search_model_versions("name = 'trading-agent'")
    assert [v.version for v in versions] == [1]
    assert len(own.client().search_runs(["1"])) == runs_before, "a promotion that changes nothing is no run"


@pytest.mark.slow
def test_an_agents_parameter_retrains_that_agent_and_what_follows(own: Project) -> None:
    own.set(agents__ppo__gamma=0.9)
    assert own.repro() == [
        "prepare",
        "tune_agent@ppo",
        "train_agent@ppo",
        "ensemble_agents",
        "choose_agent",
        "backtest",
        "walk_forward",
        "refit",
        "promote",
    ]


@pytest.mark.slow
def test_a_new_predictor_trains_that_one(own: Project) -> None:
    own.update({"predictors.second": {"kind": "logistic", "lookback_bars": 1, "l2_penalty": 100.0}})
    ran = own.repro()
    # Its look-back may have been the longest, so the bars are judged again; they are the same.
    assert ran[:5] == ["prepare", "validate_data", "tune@second", "train_predictor@second", "validate_predictors"]
    assert [stage for stage in ran if "@" in stage][2:] == ["tune_agent@ppo", "train_agent@ppo"]


@pytest.mark.slow
def test_the_bars_of_a_year_retrain_nothing(own: Project) -> None:
    before = own.outputs()
    own.set(data__bars_per_year=240)
    assert own.repro() == [
        "prepare",
        "validate_data",
        "validate_predictors",
        "choose_agent",
        "backtest",
        "walk_forward",
        "promote",
    ]
    after = own.outputs()
    trained = [name for name in before if name.startswith(("models/", "reports/metrics/train_", "data/processed/sig"))]
    assert [name for name in trained if before[name] != after[name]] == []
    then, now = (
        json.loads(files["reports/backtest/report.json"])["metrics"]["agent"]["sharpe"] for files in (before, after)
    )
    assert now == pytest.approx(then * (240 / 252) ** 0.5)
    # And what the training stages report is told of a bar.
    metrics = json.loads(after["reports/metrics/train_agent/ppo/metrics.json"])
    assert {"selected_validation_sharpe_per_bar", "validation_turnover_per_bar_median"} <= set(metrics)
    assert not {"selected_validation_sharpe", "selected_validation_cagr", "selected_validation_volatility"} & set(
        metrics
    )
    metrics = json.loads(after["reports/metrics/train_predictor/lstm/metrics.json"])
    assert {"validation_implied_sharpe_per_bar", "validation_implied_max_drawdown"} <= set(metrics)
    assert "validation_implied_sharpe" not in metrics
    assert "lstm_implied_sharpe" in json.loads(after["reports/metrics/validate_predictors/metrics.json"])


def test_a_restored_cache_ends_with_a_complete_store(finished: Project, tmp_path: Path) -> None:
    clone = Project(tmp_path / "clone")
    finished.git("clone", "--quiet", str(finished.folder), str(clone.folder))
    shutil.copytree(finished.folder / ".dvc" / "cache", clone.folder / ".dvc" / "cache")
    clone.run("dvc", "checkout")
    assert clone.repro() == ALWAYS
    runs = clone.client().search_runs(["1"], "tags.restored = 'true'")
    restored = {run.data.tags["mlflow.runName"]: run for run in runs}
    assert set(restored) == {stage.replace("@", "/") for stage in COMPUTING}
    original = {
        run.data.tags["mlflow.runName"]: run for run in finished.client().search_runs(["1"], "tags.restored = 'false'")
    }
    for name, run in restored.items():
        # What the machine did while it computed is not of the result.
        metrics = {k: v for k, v in original[name].data.metrics.items() if not k.startswith("system/")}
        assert run.data.metrics == metrics, name
        assert run.data.params == original[name].data.params, name
        assert run.data.tags["content_hash"] == original[name].data.tags["content_hash"], name
        logged = run.outputs is not None and bool(run.outputs.model_outputs)
        assert logged == name.startswith(("train_predictor/", "train_agent/")), name


def test_every_stage_is_a_child_of_one_parent(finished: Project) -> None:
    runs = finished.client().search_runs(["1"])
    parents = [run for run in runs if "repro" in run.data.tags]
    assert len(parents) == 1
    assert parents[0].data.tags["mlflow.runName"].startswith("dvc repro")
    nested = []
    for kind, stage in {"seed": "train_agent", "window": "walk_forward"}.items():
        below = [run for run in runs if run.data.tags["stage"] == kind]
        (above,) = [run for run in runs if run.data.tags["stage"] == stage]
        assert {run.data.tags["mlflow.parentRunId"] for run in below} == {above.info.run_id}, kind
        assert {run.info.status for run in below} == {"FINISHED"}, kind
        nested += below
    children = [run for run in runs if run not in nested and "repro" not in run.data.tags]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parents[0].info.run_id}
    names = [stage.replace("@", "/") for stage in [*COMPUTING, "promote"]]
    assert sorted(run.data.tags["mlflow.runName"] for run in children) == sorted(names)
    for run in children:
        assert run.info.status == "FINISHED"
        assert {"stage", "commit", "content_hash", "params_hash"} <= set(run.data.tags)


def test_a_run_shows_parameters_steps_configuration_and_inputs(finished: Project) -> None:
    client = finished.client()
    (run,) = client.search_runs(["1"], "tags.stage = 'train_predictor' and tags.variant = 'lstm'")
    assert run.data.params["predictor.hidden_size"] == "8"
    history = client.get_metric_history(run.info.run_id, "selection_loss")
    assert [point.step for point in history] == [1, 2]
    assert {f.path.rpartition("/")[2] for f in client.list_artifacts(run.info.run_id, "configuration")} == {
        "params.yaml",
        "dvc.yaml",
        "environment.json",
    }
    assert run.inputs is not None and run.outputs is not None
    assert "features" in {given.dataset.name for given in run.inputs.dataset_inputs}
    assert [model.model_id for model in run.outputs.model_outputs], "the predictor is logged as a model"


def test_plots_are_in_the_runs_of_those_who_judge(finished: Project) -> None:
    def plots(stage: str, folder: str) -> set[str]:
        (run,) = finished.client().search_runs(["1"], f"tags.stage = '{stage}'")
        return {f.path.rpartition("/")[2] for f in finished.client().list_artifacts(run.info.run_id, folder)}

    trained_and_judged = {"calibration.png", "confusion.png", "explanations.json", "training.png"}
    explained = {"attribution.png", "importance_bars.png", "importance_features.png"}
    assert plots("validate_predictors", "report/lstm") == trained_and_judged | explained
    assert plots("validate_predictors", "report/logistic") == trained_and_judged - {"training.png"}, "it has one step"
    assert plots("validate_predictors", "report/epochs") == {"loss_ratio", "selection_mae", "selection_r2"}
    assert plots("validate_predictors", "report") == {
        "calibration.png",
        "calibration",
        "epochs",
        "verdicts.json",
        "lstm",
        "logistic",
    }
    assert plots("backtest", "report") == {"equity.png", "equity.csv", "ppo"}
    assert plots("backtest", "report/ppo") == {"training.png"}


@pytest.mark.slow
def test_the_last_checkpoints_are_kept_on_demand(own: Project) -> None:
    kept = own.folder / ".cache/training/predictors/lstm"
    for keep, patience in ((True, 4), (False, 3)):
        # Another patience, for DVC would only restore what it has of the same parameters.
        own.set(predictors__lstm__keep_checkpoints=keep, predictors__lstm__patience_epochs=patience)
        own.repro("train_predictor@lstm")
        assert kept.exists() == keep
        if keep:
            states = [load_file(file) for file in kept.glob("*/*.safetensors")]
            assert states and all(any(name.startswith("optimiser.") for name in state) for state in states)
