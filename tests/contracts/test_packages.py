"""The pinned packages: the file with hashes has the versions of requirements.txt, and hashes of all."""

import re
import subprocess

from tests.project import ROOT

PINNED = re.compile(r"^([a-z0-9._-]+)==([^\s;]+)", flags=re.MULTILINE)


def test_the_hashed_packages_are_those_that_are_installed() -> None:
    hashed = dict(PINNED.findall((ROOT / "requirements-hashes.txt").read_text()))
    pinned = dict(PINNED.findall((ROOT / "requirements.txt").read_text()))
    assert len(pinned) > 100
    assert {name: hashed.get(name) for name in pinned} == pinned, "run `make lock`"


def test_every_package_has_a_hash() -> None:
    text = (ROOT / "requirements-hashes.txt").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert [line[:60] for line in lines if not re.search(r"--hash=sha256:[0-9a-f]{64}", line)] == []


def test_a_teams_packages_are_of_the_same_versions() -> None:
    team = dict(PINNED.findall((ROOT / "requirements-team.txt").read_text()))
    pinned = dict(PINNED.findall((ROOT / "requirements.txt").read_text()))
    assert {"psycopg", "dvc-s3", "dvc-ssh", "flask-wtf"} <= set(team) - set(pinned)
    assert {name: team[name] for name in team if name in pinned and team[name] != pinned[name]} == {}, "run `make lock`"


def test_the_pipeline_installs_what_is_in_requirements_alone() -> None:
    steps = subprocess.run(
        ["make", "--dry-run", "--always-make", "repro"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(re.findall(r"--requirement (\S+)", steps.stdout)) == {"requirements.txt"}
