"""What recorded decisions earned in service, and two versions compared by it."""

from pathlib import Path
from typing import Any

import numpy as np

from MLOps.artifacts import read_table
from MLOps.commands.registered import bundle_versions
from MLOps.config.params import load_params
from MLOps.errors import UserError
from MLOps.operations.live_comparison import compare_live
from MLOps.operations.outcomes import OUTCOMES, join_outcomes
from MLOps.pipelines import paths
from MLOps.reporting.live_comparison import write_comparison


def joined() -> tuple[dict[str, Any], str]:
    """Join the recorded decisions with the pipeline's bars; what was found, as values and in words.

    Raises:
        UserError: no decisions are recorded.
    """
    folder = _record_folder()
    found = join_outcomes(folder, read_table(paths.BARS))
    values = {
        "path": str(folder / OUTCOMES),
        "outcomes": len(found.outcomes),
        "decisions": found.decisions,
        "waiting": found.waiting,
        "too_late": found.too_late,
    }
    words = (
        f"{folder / OUTCOMES}: {len(found.outcomes)} outcomes; of {found.decisions} recorded decisions "
        f"{found.waiting} wait for later bars and {found.too_late} are left out, since they were made too late"
    )
    return values, words


def compared(first: str, second: str) -> tuple[dict[str, Any], str]:
    """Compare two versions by their outcomes, and write the page; what was found, as values and in words.

    Raises:
        UserError: there are no outcomes, no such version, or no bar at which both decided.
    """
    models, file = bundle_versions(), _record_folder() / OUTCOMES
    if not file.is_file():
        raise UserError(f"{file}: no such file; `python -m MLOps outcomes` writes it")
    found = compare_live(read_table(file), models.resolve(first), models.resolve(second))
    bounds = np.stack([found.lower, found.upper])
    page = write_comparison(file.parent, found.as_dict(), found.words, found.days, found.differences, bounds)
    return {"model": models.name, **found.as_dict(), "page": str(page)}, f"{found.words}\n{page}"


def _record_folder() -> Path:
    folder = load_params().serving.record.folder
    if folder is None:
        raise UserError("serving.record.folder: no decisions are recorded; name a folder, and serve")
    return Path(folder)
