"""A stage runs again exactly when something that it uses has changed: one file is edited at a time."""

import json
from pathlib import Path

import pytest
import yaml

from tests.project import Project

ALWAYS = {"prepare", "choose_agent", "promote"}
USES = "reports/uses"


def changed_stages(project: Project) -> set[str]:
    """The stages that `dvc repro` would run, as far as what they read themselves says."""
    project.run("dvc", "repro", "prepare")
    return set(json.loads(project.run("dvc", "status", "--json").stdout)) - ALWAYS


def test_an_edited_file_reruns_the_stages_that_import_it_and_no_other(own: Project) -> None:
    assert changed_stages(own) == set()
    # DVC knows of code by the files of `prepare` alone, one a stage. They are compared; DVC is asked at the end.
    assert used(own).keys() == {name for name in reads_its_own_uses(own) if name not in ALWAYS}
    predictors = {"tune@lstm", "train_predictor@lstm", "validate_predictors"}
    agents = {"tune_agent@ppo", "train_agent@ppo"}
    everything = changed_by(own, "MLOps/artifacts.py")
    assert {"ingest", "backtest", *agents, *predictors} <= everything
    for path, expected in {
        "MLOps/predictors/networks/lstm.py": {*predictors, "walk_forward", "refit"},
        "MLOps/predictors/networks/gru.py": set(),
        "MLOps/predictors/logistic.py": {
            "tune@logistic",
            "train_predictor@logistic",
            "validate_predictors",
            "walk_forward",
            "refit",
        },
        "MLOps/agents/algorithms/ppo.py": {*agents, "walk_forward", "refit"},
        "MLOps/agents/algorithms/a2c.py": set(),
        "MLOps/config/agents.py": {*agents, "ensemble_agents", "backtest", "walk_forward", "refit"},
        "MLOps/config/gate.py": set(),
        "MLOps/data/sources/sample.py": {"ingest"},
        "MLOps/data/sources/yahoo.py": set(),
        "MLOps/data/settle.py": {"validate_data", "walk_forward"},
        "MLOps/execution/processes.py": {
            "features",
            "refit",
            "train_agent@ppo",
            "train_predictor@logistic",
            "train_predictor@lstm",
            "tune@logistic",
            "tune@lstm",
            "tune_agent@ppo",
            "walk_forward",
        },
        "MLOps/evaluation/gate.py": set(),
        "MLOps/evaluation/plots.py": {"validate_predictors", "backtest"},
        "MLOps/deployment/predictor_model.py": {"train_predictor@lstm", "train_predictor@logistic"},
        "MLOps/deployment/serving_model.py": set(),
        "data/sample/bars.csv.gz": {"ingest"},
    }.items():
        assert changed_by(own, path) == expected, path
    edit(own.folder / "MLOps/predictors/networks/lstm.py")
    assert changed_stages(own) == {*predictors, "walk_forward", "refit"}


def used(project: Project) -> dict[str, bytes]:
    """What each stage uses, as `prepare` wrote it."""
    folder = project.folder / USES
    files = {path.relative_to(folder).with_suffix("").as_posix(): path for path in folder.rglob("*.json")}
    return {name.replace("/", "@"): path.read_bytes() for name, path in files.items()}


def reads_its_own_uses(project: Project) -> set[str]:
    """The stages that depend on the file of that name."""
    stages = yaml.safe_load((project.folder / "dvc.lock").read_text())["stages"]
    return {
        name
        for name, stage in stages.items()
        if f"{USES}/{name.replace('@', '/')}.json" in {dependency["path"] for dependency in stage.get("deps", [])}
    }


def edit(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\n")


def changed_by(project: Project, path: str) -> set[str]:
    """The stages that use something else after an edit of the file, which is taken back."""
    project.run("MLOps.pipelines.prepare")
    before, unedited = used(project), (project.folder / path).read_bytes()
    edit(project.folder / path)
    project.run("MLOps.pipelines.prepare")
    (project.folder / path).write_bytes(unedited)
    after = used(project)
    return {name for name in after if after[name] != before[name]}


def test_a_new_import_counts_at_once(own: Project) -> None:
    file = own.folder / "MLOps/pipelines/ingest.py"
    file.write_text(file.read_text() + "\nimport MLOps.data.sources.yahoo\n")
    assert changed_stages(own) == {"ingest"}
    own.repro("ingest")
    assert changed_by(own, "MLOps/data/sources/yahoo.py") == {"ingest"}


@pytest.mark.parametrize(
    ("key", "value", "first"),
    [
        ("agents.ppo.gamma", 0.9, "tune_agent@ppo"),
        ("predictors.lstm.dropout", 0.1, "tune@lstm"),
        ("search.agents.trials", 1, "tune_agent@ppo"),
        ("search.predictors.trials", 1, "tune@lstm"),
        ("gate.cagr", 0.1, None),
        ("backtest.random_draws", 25, "backtest"),
        ("walk_forward.windows", 2, "validate_data"),
        ("execution", {"kind": "processes", "workers": 2}, None),
        ("walk_forward.refit", True, "refit"),
    ],
)
def test_an_edited_parameter_reruns_the_stages_that_read_it(
    own: Project, key: str, value: float, first: str | None
) -> None:
    own.update({key: value})
    changed = changed_stages(own)
    assert (first in changed) if first else changed == set()
    if key.startswith(("agents", "backtest", "search.agents")):
        assert not any(stage.startswith(("tune@", "train_predictor", "validate", "ingest")) for stage in changed)
