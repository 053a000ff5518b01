"""The README names every file of the package, with the sentence that the file says of itself; what it links exists."""

import re

from tests.contracts.readme import ROOT, file_list, rewrite


def test_every_file_has_its_line() -> None:
    text = (ROOT / "README.md").read_text()
    assert rewrite(text) == text, "run `make readme` and commit README.md"


def test_every_file_says_what_it_does() -> None:
    assert "|  |" not in file_list()


def test_every_link_leads_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]:
        targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
        missing = [t for t in targets if not t.startswith("http") and not (page.parent / t).exists()]
        assert missing == [], page
