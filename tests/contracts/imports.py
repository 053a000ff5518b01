"""Which files of the package a module imports, directly or through others; read from the source, nothing is run."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]


def imported_files(module: str) -> set[Path]:
    """Files (relative to the repository) behind `module` and all that it imports, package files included."""
    found: set[Path] = set()
    todo = [module]
    while todo:
        file = _file_of(todo.pop())
        if file is None or file in found:
            continue
        found.add(file)
        name = ".".join(file.with_suffix("").parts).removesuffix(".__init__")
        # Importing a.b.c runs a/__init__.py and a/b/__init__.py first.
        parts = name.split(".")
        todo += [".".join(parts[:n]) for n in range(1, len(parts))]
        for node in ast.walk(ast.parse((ROOT / file).read_text())):
            if isinstance(node, ast.Import):
                todo += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                todo.append(node.module)
                todo += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def _file_of(module: str) -> Path | None:
    if module.partition(".")[0] != "MLOps":
        return None
    path = Path(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if (ROOT / candidate).is_file():
            return candidate
    return None


def as_dependencies(files: set[Path]) -> list[str]:
    """`files` as dvc.yaml lists them: a folder by its name where all of its files are there."""
    listed = set()
    for file in files:
        folder = file.parent
        whole = {p.relative_to(ROOT) for p in (ROOT / folder).rglob("*.py")}
        listed.add(f"{folder.as_posix()}/" if folder != Path("MLOps") and whole <= files else file.as_posix())
    return sorted(listed)


def rewrite(text: str) -> str:
    """dvc.yaml with the code dependencies of every stage as its imports have them; nothing else is touched."""
    lines, wanted, inside_deps = [], [], False
    for line in text.splitlines():
        words = line.split()
        if words[:3] == ["cmd:", "python", "-m"]:
            wanted = as_dependencies(imported_files(words[3]))
        if inside_deps and words[:1] != ["-"]:
            inside_deps = False
        if inside_deps and (words[1].startswith("MLOps/") or words[1] == "requirements.txt"):
            continue
        lines.append(line)
        if words == ["deps:"]:
            inside_deps = True
            indent = " " * (len(line) - len(line.lstrip()) + 2)
            # The packages' versions are code as well.
            lines += [f"{indent}- {path}" for path in [*wanted, "requirements.txt"]]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    path = ROOT / "dvc.yaml"
    path.write_text(rewrite(path.read_text()))
