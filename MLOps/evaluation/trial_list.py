"""The trials that a verdict counts, one by one, as the report page lists them."""

from collections.abc import Sequence
from typing import Any

from MLOps.evaluation.gate import Case, highest_sharpe_without_skill, trial_sharpes


def trial_list(case: Case, recorded: Sequence[str], own: str) -> dict[str, Any]:
    """The trials of a case as JSON has them.

    Args:
        recorded: every candidate of the ledger, in the order of recording.
        own: the candidate that is judged.

    Returns:
        `highest_sharpe_without_skill`: the highest annual Sharpe ratio expected of as many trials without skill; and
        `trials`, the one with the highest ratio first: `number` in the ledger, `candidate`, the first and last bar
        `start` and `end`, `bars`, `sharpe` (annual), and `own`, whether it is the one judged.
    """
    numbers = {candidate: number for number, candidate in enumerate(recorded, start=1)}
    trials = []
    for (candidate, column), ratio in zip(case.trials.items(), trial_sharpes(case.trials), strict=True):
        bars = column.dropna().index
        trials.append(
            {
                "number": numbers[candidate],
                "candidate": candidate,
                "start": bars[0].isoformat(),
                "end": bars[-1].isoformat(),
                "bars": len(bars),
                "sharpe": case.annual(ratio),
                "own": candidate == own,
            }
        )
    trials.sort(key=lambda trial: (-trial["sharpe"], trial["number"]))
    return {"highest_sharpe_without_skill": highest_sharpe_without_skill(case), "trials": trials}
