"""The site builds without a warning, and its pages load nothing from other hosts."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import pages
from tests.project import ROOT

pytest.importorskip("zensical", reason="the site needs the packages of requirements-docs.txt")
pytestmark = pytest.mark.slow


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_dead_links_and_anchors_are_errors(tmp_path: Path) -> None:
    (tmp_path / "zensical.toml").write_text('[project]\nsite_name = "broken"\n')
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# Here\n\n[page](nowhere.md) [heading](index.md#nowhere) [fine](#here)\n")
    refused = build(tmp_path)
    assert refused.returncode != 0
    assert "2 issues" in refused.stdout + refused.stderr


def test_it_builds_and_is_whole(tmp_path: Path) -> None:
    shutil.copy2(ROOT / "zensical.toml", tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    built = build(tmp_path)
    assert built.returncode == 0, built.stdout + built.stderr
    site = tmp_path / ".cache/site"
    for page in pages():
        if page.name != "README.md":
            html = (site / page.relative_to(ROOT / "docs")).with_suffix(".html").read_text()
            assert re.findall(r"""<(?:script|link|img)[^>]+(?:src|href)=["']?https?:[^>]+""", html) == [], page
    listed = re.findall(r'"([\w/]+\.md)"', (ROOT / "zensical.toml").read_text())
    assert sorted(listed) == sorted(page.relative_to(ROOT / "docs").as_posix() for page in pages()[1:])
