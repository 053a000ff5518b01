"""Which files of the package a module imports, directly or through others; read from the source, nothing is run."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = Path(__file__).parent.name


def imported_files(*modules: str) -> set[Path]:
    """Files, relative to the folder of the package, behind `modules` and all that they import.

    Imports inside functions count, imports for type checkers alone do not. A file that the source names, as code that
    MLflow runs later, counts like an import.
    """
    found: set[Path] = set()
    todo = list(modules)
    while todo:
        file = _file_of(todo.pop())
        if file is not None and file not in found:
            found.add(file)
            todo += _imports_of(file)
    return found


@cache
def code_hash(*modules: str) -> str:
    """SHA-256 of the source of `modules` and of all that they import."""
    digest = hashlib.sha256()
    for file in sorted(imported_files(*modules)):
        digest.update(f"{file.as_posix()}\0{file_hash(ROOT / file)}\n".encode())
    return digest.hexdigest()


@cache
def file_hash(file: Path) -> str:
    """SHA-256 of a file's bytes."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@cache
def _imports_of(file: Path) -> tuple[str, ...]:
    name = ".".join(file.with_suffix("").parts).removesuffix(".__init__")
    # Importing a.b.c runs a/__init__.py and a/b/__init__.py first.
    parts = name.split(".")
    imports = [".".join(parts[:n]) for n in range(1, len(parts))]
    for node in _executed(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.Import):
            imports += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            imports.append(node.module)
            imports += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and (text := str(node.value)).endswith(".py"):
            imports.append(".".join([*file.parent.parts, text.removesuffix(".py")]))
    return tuple(imports)


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below `node`, without those that only type checkers read."""
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _executed(child)


def _file_of(module: str) -> Path | None:
    if module.partition(".")[0] != PACKAGE:
        return None
    path = Path(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if (ROOT / candidate).is_file():
            return candidate
    return None
