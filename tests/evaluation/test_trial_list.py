"""The list of trials against definitions written out."""

import json
from dataclasses import replace

import numpy as np
import pytest

from MLOps.evaluation.gate import CheckResult, deflated
from MLOps.evaluation.trial_list import trial_list
from MLOps.statistics.sharpe_inference import expected_highest_sharpe
from tests.evaluation.test_gate import TIMES, case, returns

RATIOS = {"own": 1.0, "worst": -0.5, "best": 1.5, "short": 0.2}


def trials() -> tuple[dict[str, object], CheckResult]:
    others = [returns(ratio, seed) for seed, ratio in enumerate(list(RATIOS.values())[1:], start=5)]
    judged = case(returns(RATIOS["own"], 1), np.column_stack(others))
    table = judged.trials.set_axis(list(RATIOS), axis=1)
    # A trial with a shorter record: its ratio is of its own bars.
    table.loc[table.index[:600], "short"] = np.nan
    judged = replace(judged, trials=table)
    # The ledger has a trial of other bars, which does not count here.
    check = deflated(judged, 0.95)
    assert check is not None
    return trial_list(judged, ["best", "elsewhere", "own", "short", "worst"], "own"), check


def test_each_trial_has_its_own_bars_and_ratio_and_its_number_in_the_ledger() -> None:
    listed, _ = trials()
    rows = {row["candidate"]: row for row in listed["trials"]}  # type: ignore[attr-defined]
    assert {name: row["number"] for name, row in rows.items()} == {"best": 1, "own": 3, "short": 4, "worst": 5}
    assert [name for name, row in rows.items() if row["own"]] == ["own"]
    ranked = [row["sharpe"] for row in listed["trials"]]  # type: ignore[attr-defined]
    assert ranked == sorted(ranked, reverse=True)
    for name in ("own", "worst", "best"):
        assert rows[name]["sharpe"] == pytest.approx(RATIOS[name])
        assert rows[name]["bars"] == len(TIMES)
    assert (rows["short"]["bars"], rows["short"]["start"][:10]) == (len(TIMES) - 600, str(TIMES[600])[:10])
    assert rows["short"]["end"][:10] == str(TIMES[-1])[:10]
    assert json.loads(json.dumps(listed)) == listed


def test_the_ratio_of_luck_is_that_of_the_gates_reason() -> None:
    listed, check = trials()
    ratios = [row["sharpe"] for row in listed["trials"]]  # type: ignore[attr-defined]
    expected = expected_highest_sharpe(float(np.std(ratios, ddof=1)), len(ratios))
    assert listed["highest_sharpe_without_skill"] == pytest.approx(expected)
    assert f"exceeds {expected:.2f}, expected of the best of 4 trials" in check.reason
