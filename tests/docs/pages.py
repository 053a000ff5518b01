"""The pages of the documentation, their code blocks and their headings."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.project import ROOT

FENCE = re.compile(r"^( *)```(\w*)(?: title=\"([^\"]+)\")?([^\n]*)\n(.*?)^\1```$", flags=re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: `title` is the file that it is written to, "" for params.yaml or none."""

    page: Path
    line: int
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"


def pages() -> list[Path]:
    """README and every page of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(*languages: str) -> list[Block]:
    """The blocks in these languages, in the order of the pages; all blocks without languages."""
    found = []
    for page in pages():
        text = page.read_text()
        for match in FENCE.finditer(text):
            indent, language, title, rest, body = match.groups()
            assert not rest, f"{page}: {rest!r} after the language of a block"
            plain = re.sub(rf"^{indent}", "", body, flags=re.MULTILINE)
            found.append(Block(page, text.count("\n", 0, match.start()) + 1, language, title or "", plain))
    return [block for block in found if not languages or block.language in languages]


def without_blocks(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", without_blocks(page), flags=re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        number = next(n for n in range(100) if f"{slug}-{n}".removesuffix("-0") not in found)
        found.add(f"{slug}-{number}".removesuffix("-0"))
    return found
