"""DVC remotes on S3 and SSH: a clone whose cache and outputs are gone gets all of them back, and computes nothing."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import yaml

from tests.project import Project
from tests.team_servers import BUCKET, KEYS, make_key, object_store, ssh_server

pytestmark = [pytest.mark.slow, pytest.mark.team]

ALWAYS_RUN = ["prepare", "choose_agent", "promote"]


@contextmanager
def s3(project: Project, folder: Path) -> Iterator[dict[str, str]]:
    """A remote in a bucket; the variables with which DVC reaches it."""
    pytest.importorskip("dvc_s3", reason="needs `pip install -r requirements-team.txt`")
    with object_store(folder) as url:
        project.run("dvc", "remote", "add", "--default", "team", f"s3://{BUCKET}/dvc")
        project.run("dvc", "remote", "modify", "team", "endpointurl", url)
        yield KEYS


@contextmanager
def ssh(project: Project, folder: Path) -> Iterator[dict[str, str]]:
    """A remote on a host whose key is known; the variables with which DVC reaches it."""
    pytest.importorskip("dvc_ssh", reason="needs `pip install -r requirements-team.txt`")
    with ssh_server(folder) as server:
        project.run("dvc", "remote", "add", "--default", "team", server.url)
        yield {"HOME": str(server.home)}


def kept_by_dvc(project: Project) -> dict[str, bytes]:
    """The files of all stages but those that always run."""
    stages = yaml.safe_load((project.folder / "dvc.lock").read_text())["stages"]
    kept = [Path(out["path"]) for name in stages if name not in ALWAYS_RUN for out in stages[name].get("outs", ())]
    return {name: data for name, data in project.outputs().items() if {Path(name), *Path(name).parents} & set(kept)}


def wipe(project: Project) -> None:
    """Leave what a clone has, and the store."""
    for name in ("data/raw", "data/processed", "models", "reports", ".dvc/cache", ".dvc/tmp", ".cache"):
        shutil.rmtree(project.folder / name, ignore_errors=True)
    project.git("checkout", "--quiet", "--", "reports")


@pytest.mark.parametrize("remote", [s3, ssh], ids=["s3", "ssh"])
def test_what_was_pushed_comes_back_and_only_promote_runs(
    remote: Callable[[Project, Path], AbstractContextManager[dict[str, str]]], own: Project, tmp_path: Path
) -> None:
    expected, everything = kept_by_dvc(own), own.outputs()
    assert len(expected) > 50
    with remote(own, tmp_path) as variables:
        own.run("dvc", "push", variables=variables)
        wipe(own)
        assert kept_by_dvc(own) == {}
        own.run("dvc", "pull", variables=variables)
    assert kept_by_dvc(own) == expected

    assert own.repro() == ALWAYS_RUN, "they always run; none of them trains or trades"

    outputs = own.outputs()
    assert {name for name in everything if outputs.get(name) != everything[name]} == set()


def test_an_unknown_host_key_is_refused(own: Project, tmp_path: Path) -> None:
    pytest.importorskip("dvc_ssh", reason="needs `pip install -r requirements-team.txt`")
    make_key(tmp_path / "other_key")
    with ssh_server(tmp_path) as server:
        variables = {"HOME": str(server.home)}
        known = server.known_hosts.read_text()
        others = f"{known.split()[0]} {(tmp_path / 'other_key.pub').read_text()}"
        own.run("dvc", "remote", "add", "--default", "team", server.url)
        for keys in (others, ""):
            server.known_hosts.write_text(keys)
            assert "Connection lost" in own.run("dvc", "push", check=False, variables=variables).stderr
            assert "Accepted" not in server.log.read_text(), "nobody has logged in"
            assert not server.folder.exists(), "nothing was sent"

        # What docs/scaling.md warns of: without OpenSSH before it, DVC logs in and sends.
        own.run("dvc", "remote", "add", "direct", server.direct_url)
        own.run("dvc", "push", "--remote", "direct", "dvc.yaml:ingest", variables=variables)
        assert server.folder.exists()
