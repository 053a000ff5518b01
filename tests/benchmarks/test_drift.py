"""The drift benchmark, small: no false alarm on a market of either kind, and every planted change is found."""

import pytest

from benchmarks import drift
from MLOps.config.params import load_params

PARAMS = load_params(drift.PARAMS)


@pytest.mark.parametrize("kind", [pytest.param("stationary", marks=pytest.mark.slow), "garch"])
def test_changes_are_found_and_nothing_else(kind: str) -> None:
    alarms, delays = drift.run(kind, 4, PARAMS, 1)
    assert alarms == set()
    assert set(delays) == set(drift.CHANGES)
    missed = [change for change, bars in delays.items() if bars is None]
    assert missed == []


def test_figures_have_bounds_and_delays() -> None:
    found = drift.figures("garch", [({"inputs"}, {"level": 3}), (set(), {"level": None})])
    assert (found["false_alarms_garch"], found["false_alarms_garch_inputs"], found["found_garch_level"]) == (
        0.5,
        0.5,
        0.5,
    )
    assert found["false_alarms_garch_lower"] < 0.02
    assert found["false_alarms_garch_upper"] > 0.98
    assert found["delay_garch_level"] == 3
