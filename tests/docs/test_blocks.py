"""What README and docs show works: YAML is accepted, commands exist with their options, Python runs.

A block with a title is a file of that name; other YAML is merged into params.yaml. Python blocks of a page run in one
process, one after the other, in the folder of a finished run.
"""

import re
import shlex
import tomllib
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from MLOps.config.agreement import check_params
from MLOps.pipelines.prepare import check_features
from tests.docs.pages import Block, blocks, pages, without_blocks
from tests.project import ROOT

# Subcommands that the text names without the words that they need.
NAMED_ALONE = {"dvc exp apply", "dvc exp run", "dvc queue start"}
LANGUAGES = {"bash", "diff", "mermaid", "python", "text", "yaml"}
# Programs that are no part of the project; what they do is not checked.
SYSTEM = {"cp", "date", "echo", "eval", "export", "git", "mkdir", "pytest", "read", "sed", "set", "source", "umask"}
SYSTEM |= {"docker", "openssl", "ray", "sudo", "torchrun", "weed"}
SCRIPTS = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"])
TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


def merged(base: Any, change: Any) -> Any:
    """`change` in `base`, as a reader would edit it: a section of another kind is replaced."""
    if (
        not isinstance(base, dict)
        or not isinstance(change, dict)
        or base.get("kind") != change.get("kind", base.get("kind"))
    ):
        return change
    if "choices" in change or "low" in change:
        return change
    if "test_start" in change:  # days stand in place of shares
        base = {key: value for key, value in base.items() if key not in ("train", "validation", "test")}
    return base | {key: merged(base.get(key), value) for key, value in change.items()}


def commands(text: str) -> list[list[str]]:
    """The commands of a shell block, in words; those inside $(…) too."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        inner = re.findall(r"\$\(([^()]+)\)", line)
        for part in [*inner, re.sub(r"\$\([^()]+\)", "VALUE", line)]:
            for command in re.split(r"&&|\||;", _without_comment(part)):
                words = shlex.split(command)
                while words and re.fullmatch(r"[A-Z_]+=.*", words[0], flags=re.DOTALL):
                    words = words[1:]
                found += [words] if words else []
    return found


def _without_comment(line: str) -> str:
    return re.sub(r"(^|\s)#.*$", "", line)


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_yaml_is_accepted(block: Block, tmp_path: Path) -> None:
    values = yaml.safe_load(block.text)
    if block.title.startswith("params.yaml"):
        return  # needs the code of its recipe: tests/docs/test_recipes.py
    if block.title:
        if block.title.startswith(".github/workflows/"):
            assert set(values) >= {"name", True, "jobs"}  # YAML reads the key `on` as true
            for command in re.findall(r"run: (.+)$", block.text, flags=re.MULTILINE):
                check(commands(command))
        return
    params = tmp_path / "params.yaml"
    params.write_text(
        yaml.safe_dump(merged(yaml.safe_load((ROOT / "params.yaml").read_text()), values), sort_keys=False)
    )
    check_features(check_params(params))


@pytest.mark.parametrize("block", blocks("bash"), ids=str)
def test_commands_exist(block: Block) -> None:
    found = commands(block.text)
    assert found
    check(found)


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_in_the_text_exist(page: Path) -> None:
    for code in re.findall(r"`([^`\n]+)`", without_blocks(page)):
        if re.match(r"(make|dvc|python -m|mlflow) ", code) and "…" not in code and code not in NAMED_ALONE:
            check(commands(code))


def check(found: list[list[str]]) -> None:
    """Assert that each command exists and takes its options."""
    for path, *words in found:
        program = Path(path).name
        if program == "make":
            names = [word for word in words if "=" not in word]
            assert [name for name in names if name not in TARGETS] == []
            for variable in {word.partition("=")[0] for word in words if "=" in word}:
                assert f"$({variable})" in (ROOT / "Makefile").read_text()
            check_settings(shlex.split(" ".join(word.partition("=")[2] for word in words if word.startswith("SET="))))
        elif program == "dvc":
            check_dvc(words)
        elif program == "mlflow":
            check_mlflow(words)
        elif program == "python":
            assert words[0] == "-m", words
            assert find_spec(words[1]) is not None, words
        elif program == "pip":
            for name in (word for word in words if word.endswith(".txt")):
                assert (ROOT / name).exists(), name
        else:
            assert program in SYSTEM | SCRIPTS | {"tensorboard", "pre-commit"}, [program, *words]


def check_dvc(words: list[str]) -> None:
    from dvc.cli import DvcParserError, parse_args

    try:
        known = parse_args(words)
    except DvcParserError as error:
        raise AssertionError(f"dvc {' '.join(words)}: {error}") from error
    check_settings(words)
    if words[0] in ("repro", "status") or words[:2] == ["exp", "run"]:
        stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
        assert [name for name in known.targets or [] if name.partition("@")[0] not in stages] == []


def check_settings(words: list[str]) -> None:
    """The keys of `-S key=value` are in params.yaml, and their values accepted."""
    for option, setting in pairwise(words):
        if option == "-S":
            key, _, value = setting.partition("=")
            section: dict[str, Any] = {}
            nested = yaml.safe_load(value)
            for name in reversed(key.split(".")):
                section = {name: nested}
                nested = section
            check_section(section)


def check_section(values: dict[str, Any]) -> None:
    from MLOps.config.params import SECTIONS, Params

    params = Params(merged(yaml.safe_load((ROOT / "params.yaml").read_text()), values), "params.yaml")
    for name in set(values) & set(SECTIONS):
        getattr(params, name)
    assert set(values) <= set(SECTIONS)


def check_mlflow(words: list[str]) -> None:
    from mlflow.cli import cli

    command: Any = cli
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    with command.make_context(command.name, list(words)):
        pass


def test_every_block_names_its_language() -> None:
    assert [str(block) for block in blocks() if block.language not in LANGUAGES] == []
