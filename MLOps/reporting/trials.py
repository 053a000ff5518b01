"""The section of the page on the trials: the best of them, and what as many without skill would reach."""

from pathlib import Path
from typing import Any

from MLOps.artifacts import read_json

TRIALS_SHOWN = 30


def trials(path: Path) -> dict[str, Any] | None:
    """The TRIALS_SHOWN best trials of `MLOps.evaluation.trial_list`, the judged one among them; None without the file.

    `rest` has the number of the others, and their `lowest` and `highest` ratio.
    """
    if not path.exists():
        return None
    listed = read_json(path)
    ranked = listed["trials"]
    shown, left_out = ranked[:TRIALS_SHOWN], ranked[TRIALS_SHOWN:]
    if judged := [trial for trial in left_out if trial["own"]]:  # it takes the last row
        left_out = [*shown[-1:], *(trial for trial in left_out if not trial["own"])]
        shown = [*shown[:-1], *judged]
    ratios = [trial["sharpe"] for trial in left_out]
    rest = {"count": len(ratios), "lowest": min(ratios), "highest": max(ratios)} if ratios else None
    without_skill = listed["highest_sharpe_without_skill"]
    return {"count": len(ranked), "highest_sharpe_without_skill": without_skill, "shown": shown, "rest": rest}
