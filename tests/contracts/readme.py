"""The README's list of files: each with the first sentence of its docstring."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
START, END = "<!-- files -->", "<!-- end of files -->"

# From the stages down to what everything rests on.
ROOMS = [
    "pipelines",
    "deployment",
    "model_registry",
    "evaluation",
    "agents",
    "predictors",
    "trading",
    "features",
    "data",
    "experiment_tracking",
    "config",
    ".",
]


def file_list() -> str:
    """The list as Markdown: a table a room."""
    package = ROOT / "MLOps"
    lines = []
    for room in ROOMS:
        files = sorted((package / room).glob("*.py")) if room == "." else sorted((package / room).rglob("*.py"))
        lines += [f"**MLOps/{'' if room == '.' else room}** — {sentence(package / room / '__init__.py')}", ""]
        lines += ["| file | what it does |", "|---|---|"]
        lines += [
            f"| `{file.relative_to(package / room).as_posix()}` | {sentence(file)} |"
            for file in files
            if file != package / room / "__init__.py"
        ]
        lines.append("")
    return "\n".join(lines)


def sentence(file: Path) -> str:
    docstring = ast.get_docstring(ast.parse(file.read_text())) or ""
    return " ".join(docstring.split("\n\n")[0].split()).replace("|", "\\|")


def rewrite(text: str) -> str:
    """README.md with its list of files as the docstrings have it."""
    before, _, rest = text.partition(START)
    return f"{before}{START}\n\n{file_list()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(rewrite(path.read_text()))
