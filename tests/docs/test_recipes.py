"""The recipes that add code: applied as written, the new feature, predictor and algorithm are found and train."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from MLOps.artifacts import read_json
from MLOps.config.data import FilesConfig
from MLOps.config.params import load_params
from MLOps.data.sources.files import read_files
from tests.docs.pages import Block, blocks
from tests.docs.test_blocks import merged
from tests.project import ROOT, SMALL, Project

TITLED = [block for block in blocks("diff", "python", "yaml") if block.title and block.page.name == "recipes.md"]


def edited(text: str, block: Block) -> str:
    """`text` after the changes of a diff: each has lines that occur once, and `@@` separates them."""
    for hunk in block.text.split("@@\n"):
        lines = hunk.splitlines()
        old = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
        new = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("-"))
        assert text.count(old) == 1, f"{block}: {old!r} occurs {text.count(old)} times in {block.title}"
        text = text.replace(old, new)
    return text


def apply(project: Project) -> None:
    """All recipes together."""
    for block in TITLED:
        file = project.folder / block.title.partition(" ")[0]
        if block.language == "diff":
            file.write_text(edited(file.read_text(), block))
        elif block.title.startswith("MLOps/"):
            assert not file.exists()
            file.write_text(block.text)
        elif block.title.startswith("params.yaml"):
            values: Any = merged(yaml.safe_load(file.read_text()), yaml.safe_load(block.text))
            file.write_text(yaml.safe_dump(values, sort_keys=False))


def test_what_the_recipes_add_is_found(tmp_path: Path) -> None:
    project = Project.copy(tmp_path / "project")
    apply(project)
    project.run("MLOps.pipelines.prepare")
    uses = read_json(project.folder / "reports/uses/train_predictor/discriminant.json")
    assert "MLOps/predictors/discriminant.py" in uses["code"]
    uses = read_json(project.folder / "reports/uses/train_agent/annealed.json")
    assert "MLOps/agents/algorithms/annealed_ppo.py" in uses["code"]


def test_the_file_of_the_tour_is_read(tmp_path: Path) -> None:
    (shown,) = [block for block in blocks("text") if block.page.name == "tour.md"]
    (tmp_path / "prices.csv").write_text(shown.text)
    params = load_params(ROOT / "params.yaml")
    bars = read_files(replace(params.data, files=FilesConfig(path=str(tmp_path / "prices.csv"))), 0)
    assert list(bars["symbol"]) == ["AAPL", "AAPL"]
    assert {"open", "high", "low", "close", "adj_close", "volume"} <= set(bars)


@pytest.mark.slow
def test_what_the_recipes_add_trains(tmp_path: Path) -> None:
    project = Project.copy(tmp_path / "project")
    apply(project)
    project.update(SMALL)
    project.update(
        {f"agents.annealed.{key.removeprefix('agents.ppo.')}": SMALL[key] for key in SMALL if ".ppo." in key}
    )
    project.keep_predictors("logistic", "discriminant")
    project.repro("choose_agent")
    assert "upside_20" in read_json(project.folder / "data/processed/feature_pipeline.json")["names"]
    verdicts = read_json(project.folder / "reports/verdicts.json")["verdicts"]
    assert "discriminant" in [verdict["predictor"] for verdict in verdicts]
    assert "annealed" in read_json(project.folder / "reports/choice.json")["validation_rewards"]
