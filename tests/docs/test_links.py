"""Every link and image of README and docs leads to a file, and to a heading of it."""

import re

from tests.docs.pages import anchors, pages, without_blocks


def test_every_link_leads_somewhere() -> None:
    dead, checked = [], 0
    for page in pages():
        for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(page)):
            if target.startswith(("http://", "https://")):
                continue
            checked += 1
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            if not file.exists() or (anchor and anchor not in anchors(file)):
                dead.append(f"{page.name}: {target}")
    assert dead == []
    assert checked > 100


def test_every_page_can_be_reached() -> None:
    """From README by links."""
    start, *others = pages()
    reached, new = set(), {start}
    while new:
        reached |= new
        linked = {
            (page.parent / target).resolve()
            for page in new
            for target in re.findall(r"\]\(([^)#\s]+\.md)", without_blocks(page))
        }
        new = {page for page in linked if page.exists()} - reached
    assert [page.name for page in others if page not in reached] == []
