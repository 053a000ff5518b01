"""docs/reference/params.md is what the typed configuration says, and names and describes every key."""

import re
from typing import Any

import pytest
import yaml

from MLOps.config.reference import as_markdown
from tests.project import ROOT

PAGE = ROOT / "docs/reference/params.md"
# Mappings whose keys are names that a user chooses, as the reference writes them.
NAMED = {r"^(predictors|agents)\.\w+": r"\1.NAME", r"^(search\.\w+\.spaces)\.\w+\.\w+": r"\1.NAME.PARAMETER"}


def keys(values: dict[str, Any], prefix: str = "") -> list[str]:
    """Dotted paths of all values of a YAML mapping."""
    found = []
    for key, value in values.items():
        found += keys(value, f"{prefix}{key}.") if isinstance(value, dict) and value else [f"{prefix}{key}"]
    return found


def as_written(key: str) -> str:
    for pattern, written in NAMED.items():
        key = re.sub(pattern, written, key)
    return key


@pytest.fixture(scope="module")
def rows() -> dict[str, list[str]]:
    """The cells of each key's first row."""
    table: dict[str, list[str]] = {}
    for line in PAGE.read_text().splitlines():
        if line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            table.setdefault(cells[0].strip("`"), cells)
    return table


def test_it_is_what_the_configuration_says() -> None:
    assert PAGE.read_text() == as_markdown(ROOT / "params.yaml"), (
        "run `python -m MLOps.config.reference > docs/reference/params.md`"
    )


def test_it_has_every_key_of_the_file(rows: dict[str, list[str]]) -> None:
    asked = {as_written(key) for key in keys(yaml.safe_load((ROOT / "params.yaml").read_text()))}
    assert len(asked) > 100
    assert sorted(asked - set(rows)) == []


def test_every_key_is_described(rows: dict[str, list[str]]) -> None:
    assert [key for key, cells in rows.items() if not cells[-1]] == []
    assert [key for key, cells in rows.items() if not cells[1]] == []


def test_defaults_and_bounds_are_those_that_are_enforced(rows: dict[str, list[str]]) -> None:
    """Some rows by hand: a bound, a default, a unit, allowed values, an optional value."""
    assert rows["trading.fee_bps"][1] == "number ≥ 0 and < 10000"
    assert rows["trading.fee_bps"][2] == "`10.0`"
    assert "basis points" in rows["trading.fee_bps"]
    assert rows["data.on_missing"][1] == "`error`, `drop_timestamp`, `trade_without`"
    assert rows["gate.cagr"][1] == "number or `null`"
    assert rows["agents.NAME.total_timesteps"][2] == ""
