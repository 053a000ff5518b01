"""Outputs of stages with a changed byte: DVC restores them, and a stage that is run by hand refuses them."""

import os
from pathlib import Path

import numpy as np
import pytest

from tests.contracts.damage import damaged
from tests.project import Project

pytestmark = pytest.mark.slow

# A file of each kind, and a stage that reads it.
READ = {
    "data/raw/bars.parquet": ["validate_data"],
    "data/processed/bars.parquet": ["features"],
    "data/processed/splits.json": ["train_predictor", "logistic"],
    "data/processed/features/part-00000.parquet": ["train_predictor", "logistic"],
    "data/processed/signals/logistic.parquet": ["validate_predictors"],
    "models/predictors/logistic/weights.safetensors": ["validate_predictors"],
    "models/agents/ppo/policy.safetensors": ["backtest"],
    "reports/metrics/train_agent/ppo/metrics.json": ["choose_agent"],
    "reports/verdicts.json": ["choose_agent"],
    "reports/backtest/report.json": ["promote"],
}


@pytest.mark.parametrize("seed", range(2))
def test_dvc_restores_what_was_damaged_and_a_stage_by_hand_refuses_it(own: Project, seed: int) -> None:
    whole, generator = own.outputs(), np.random.default_rng(seed)
    for name, words in READ.items():
        path = own.folder / name
        harm(path, generator)
        done = own.run(f"MLOps.pipelines.{words[0]}", *words[1:], check=False)
        assert done.returncode == 1
        said = done.stderr.strip().splitlines()[-1]
        assert "not as the stage" in said and "Traceback" not in done.stderr, done.stderr
        own.repro()
        assert path.read_bytes() == whole[name]
    changed = {name for name, content in own.outputs().items() if whole.get(name) != content}
    assert changed <= {"reports/index.html"}


def test_a_damaged_file_of_dvcs_cache_is_not_restored_from(own: Project) -> None:
    """DVC does not compare files of its cache that are read-only with their hash: the stage that reads them does."""
    name = "data/processed/splits.json"
    content = own.outputs()[name]
    (cached,) = [p for p in (own.folder / ".dvc/cache").rglob("*") if p.is_file() and p.read_bytes() == content]
    harm(cached, np.random.default_rng(0))
    (own.folder / name).unlink()
    done = own.run("dvc", "repro", check=False)
    assert "not as the stage features made it" in done.stderr
    cached.unlink()
    (own.folder / name).unlink()
    own.repro()
    assert (own.folder / name).read_bytes() == content


def harm(path: Path, generator: np.random.Generator) -> None:
    """Change a byte, or cut."""
    content = path.read_bytes()
    mode = path.stat().st_mode
    path.chmod(0o644)
    path.write_bytes(damaged(content, generator))
    os.utime(path)
    path.chmod(mode)
    if path.read_bytes() == content:
        harm(path, generator)
