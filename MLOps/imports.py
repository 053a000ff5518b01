"""Which files of the package a module imports, directly or through others; read from the source, nothing is run."""

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator
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
    source = (ROOT / file).read_text()
    for statement in _executed(ast.parse(source).body):
        if isinstance(statement, ast.Import):
            imports += [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            imports.append(statement.module)
            imports += [f"{statement.module}.{alias.name}" for alias in statement.names]
    imports += [".".join([*file.parent.parts, sibling]) for sibling in re.findall(r'"(\w+)\.py"', source)]
    return tuple(imports)


def _executed(statements: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The statements and those inside them, without those that only type checkers read."""
    for statement in statements:
        if not (isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING"):
            yield statement
            for block in ("body", "orelse", "handlers", "finalbody", "cases"):
                yield from _executed(getattr(statement, block, []))


@cache
def _file_of(module: str) -> Path | None:
    if module.partition(".")[0] != PACKAGE:
        return None
    path = Path(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if (ROOT / candidate).is_file():
            return candidate
    return None
