"""The files of a version: which of them count, and the hash of those."""

from pathlib import Path

from MLOps.artifacts import content_hash, regular_files, value_hash

# MLflow writes the first when it reads a version; Python writes the second, of files with that suffix, when it runs it.
META, COMPILED, COMPILED_SUFFIX = "registered_model_meta", "__pycache__", ".pyc"


def files_hash(folder: Path) -> str:
    """SHA-256 of the names and contents of everything that MLflow loads.

    Raises:
        UserError: there is a link or something else that is no file among them.
    """
    files = regular_files(folder)
    return value_hash({name: content_hash(path) for name, path in files.items() if not _is_unhashed(Path(name))})


def _is_unhashed(name: Path) -> bool:
    return str(name) == META or (name.parent.name == COMPILED and name.suffix == COMPILED_SUFFIX)
