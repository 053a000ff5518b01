"""The sentences that docs/troubleshooting.md explains are those of the code."""

import ast
import re
from pathlib import Path

from tests.project import ROOT

PAGE = ROOT / "docs/troubleshooting.md"
SENTENCES = re.findall(r"^\| (`.+?`) \| ", PAGE.read_text(), flags=re.MULTILINE)


def templates() -> list[str]:
    """The texts of the package, with … for what is filled in."""
    found = []
    for file in sorted((ROOT / "MLOps").rglob("*.py")):
        for node in ast.walk(ast.parse(Path(file).read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values]
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def plain(sentence: str) -> str:
    """Without what is filled in, quotes and spaces, which the page may write otherwise."""
    return re.sub(r"…[^ ;:,.()|]*|[`'\s]", "", sentence)


def test_every_sentence_is_in_the_code() -> None:
    known = {plain(template) for template in templates()}
    assert len(SENTENCES) > 25
    assert [sentence for sentence in SENTENCES if plain(sentence.strip("`")) not in known] == []
