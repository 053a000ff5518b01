"""The DVC experiment (`dvc exp run`) that this process is part of, as DVC tells it in environment variables."""

import os
from pathlib import Path

NAME, BASELINE, ROOT = "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV", "DVC_ROOT"
COPIES = Path(".dvc/tmp")  # the copies of the workspace in which DVC runs queued experiments and those with --temp


def experiment_name() -> str | None:
    """The name of the experiment; None in `dvc repro` and outside of DVC."""
    return os.environ.get(NAME)


def experiment_baseline() -> str | None:
    """The commit that the experiment started from; None outside of an experiment."""
    return os.environ.get(BASELINE)


def experiment_tags() -> dict[str, str]:
    """Tags for the runs of the experiment; empty outside of one."""
    tags = {"experiment": experiment_name(), "experiment_baseline": experiment_baseline()}
    return {tag: value for tag, value in tags.items() if value}


def workspace() -> Path:
    """The folder whose store and caches count: the working directory, or the workspace of which it is DVC's copy.

    DVC deletes the copy when the experiment ends, and with it everything in it that is not an output.
    """
    root, here = os.environ.get(ROOT), Path.cwd()
    if root and here.is_relative_to(Path(root).resolve() / COPIES):
        return Path(root)
    return Path()
