"""A registered version counts only while its files are as they were registered; what is lost is registered anew."""

import shutil
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest

from MLOps.errors import UserError
from MLOps.model_registry.bundle import verify_bundle
from MLOps.model_registry.versions import Registry
from tests.project import Project


def files_of(project: Project, version: int) -> Path:
    return Path(project.client().get_model_version_download_uri("trading-agent", str(version)))


def lose_everything(folder: Path) -> None:
    shutil.rmtree(folder)


def lose_the_weights(folder: Path) -> None:
    (folder / "artifacts/bundle/agent/policy.safetensors").unlink()


def damage_the_weights(folder: Path) -> None:
    flip(folder / "artifacts/bundle/agent/policy.safetensors")


def damage_the_code(folder: Path) -> None:
    flip(folder / "code/MLOps/trading/kernel.py")


def add_a_file(folder: Path) -> None:
    (folder / "code/MLOps/extra.py").write_text("")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("harm", [lose_everything, lose_the_weights, damage_the_weights, damage_the_code, add_a_file])
def test_a_harmed_version_does_not_count(own: Project, harm: Callable[[Path], None]) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{own.folder}/mlflow.db")
    registry = Registry(own.client(), "trading-agent")
    verify_bundle(registry.bundle("1"))
    harm(files_of(own, 1))
    with pytest.raises(UserError, match="trading-agent version 1: its files"):
        registry.bundle("1")


def test_a_harmed_version_is_told_and_registered_anew(own: Project) -> None:
    damage_the_weights(files_of(own, 1))
    told = own.run("MLOps.pipelines.promote").stdout
    assert "trading-agent version 1: its files" in told
    assert "registered anew" in told
    client = own.client()
    assert int(client.get_model_version_by_alias("trading-agent", "candidate").version) == 2
    identity = verify_bundle(files_of(own, 2) / "artifacts/bundle")
    assert client.get_model_version("trading-agent", "1").tags["bundle"] == identity, "the same bundle as before"
    assert "nothing new" in own.run("MLOps.pipelines.promote").stdout


def test_a_harmed_champion_is_replaced_by_its_whole_copy(own: Project) -> None:
    own.client().set_registered_model_alias("trading-agent", "champion", "1")
    lose_everything(files_of(own, 1))
    own.run("MLOps.pipelines.promote")
    assert int(own.client().get_model_version_by_alias("trading-agent", "champion").version) == 2


def test_another_champion_without_files_is_a_reason_and_no_traceback(own: Project) -> None:
    own.client().set_registered_model_alias("trading-agent", "champion", "1")
    own.client().set_model_version_tag("trading-agent", "1", "bundle", "of another model")
    lose_everything(files_of(own, 1))
    done = own.run("MLOps.pipelines.promote")
    assert "the champion, version 1, cannot be traded" in done.stdout
    assert "take the alias champion off it" in done.stdout
