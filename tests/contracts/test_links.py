"""Every link in README, CONTRIBUTING and docs leads to a file that exists."""

import re

from tests.project import ROOT


def test_every_link_leads_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]:
        targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
        missing = [t for t in targets if not t.startswith("http") and not (page.parent / t).exists()]
        assert missing == [], page
