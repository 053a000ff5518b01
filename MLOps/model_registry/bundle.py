"""The bundle: a folder of JSON and safetensors with a manifest of hashes; its identity is the hash of its content."""

import shutil
from pathlib import Path
from typing import Any

from MLOps.artifacts import content_hash, read_json, regular_files, value_hash, whole_folder, write_json
from MLOps.errors import UserError

MANIFEST = "manifest.json"
DATA_SUFFIXES = (".json", ".safetensors")  # nothing that could execute


def build_bundle(target: Path, parts: dict[str, Path], metadata: dict[str, Any]) -> str:
    """Copy `parts` (name in the bundle to file or folder) and `metadata` into `target`, and write a manifest of hashes.

    Returns:
        The bundle's identity; the same parts and metadata give the same.

    Raises:
        UserError: a part is missing, or holds a file that is not data.
    """
    with whole_folder(target) as folder:
        for name, source in parts.items():
            if not source.exists():
                raise UserError(f"{source}: missing, but part of the bundle; run `dvc repro`")
            destination = folder / name
            destination.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, destination)
            else:
                shutil.copyfile(source, destination)
        write_json(folder / "metadata.json", metadata)
        files = _files(folder)
        write_json(folder / MANIFEST, {"files": files, "identity": value_hash(files)})
    return value_hash(files)


def verify_bundle(folder: Path) -> str:
    """Check every file against the manifest.

    Returns:
        The bundle's identity.

    Raises:
        UserError: a file is missing, was added or altered, or is not data; or there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no bundle here; `dvc repro` registers one")
    found = _files(folder)
    manifest = read_json(folder / MANIFEST)
    is_one = isinstance(manifest, dict) and set(manifest) == {"files", "identity"}
    if not is_one or not isinstance(manifest["files"], dict):
        raise UserError(f"{folder / MANIFEST}: expected files and identity; `dvc repro` registers the bundle anew")
    if found != manifest["files"] or value_hash(found) != manifest["identity"]:
        differing = sorted(
            name for name in {*found, *manifest["files"]} if found.get(name) != manifest["files"].get(name)
        )
        raise UserError(
            f"{folder}: the bundle is not what its manifest says, first at {differing[0] if differing else MANIFEST}; "
            "`dvc repro` registers it anew"
        )
    return str(manifest["identity"])


def _files(folder: Path) -> dict[str, str]:
    files = regular_files(folder)
    files.pop(MANIFEST, None)
    for name, path in files.items():
        if path.suffix not in DATA_SUFFIXES:
            raise UserError(f"{path}: a bundle holds {' and '.join(DATA_SUFFIXES)} files only; take {name} out")
    return {name: content_hash(path) for name, path in files.items()}
