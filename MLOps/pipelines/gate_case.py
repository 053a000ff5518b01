"""The case that the gate judges, from what the stages left and the trials in the store."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from MLOps.artifacts import read_json
from MLOps.config.params import Params
from MLOps.evaluation.evidence import Evidence
from MLOps.evaluation.gate import Case
from MLOps.experiment_tracking.trials import Trial
from MLOps.pipelines import paths
from MLOps.training.seeds import derive_seed


def gate_case(params: Params, trials: Sequence[Trial]) -> Case:
    """The joined evidence beside `trials`, of which those count that traded at one of its bars."""
    evidence = Evidence.read(paths.WALK_FORWARD, read_json(paths.CLOCK)["bars_per_year"])
    windows = read_json(paths.WALK_FORWARD_REPORT)["windows"]
    traded = [trial for trial in trials if np.isin(trial.timestamps, evidence.timestamps).any()]
    # By candidate: the last bits of the figures do not depend on the order in which machines recorded the trials.
    traded.sort(key=lambda trial: trial.candidate)
    series = {trial.candidate: pd.Series(trial.returns, pd.DatetimeIndex(trial.timestamps)) for trial in traded}
    return case_of(evidence, windows, pd.DataFrame(series), params)


def case_of(evidence: Evidence, windows: Sequence[Mapping[str, Any]], trials: pd.DataFrame, params: Params) -> Case:
    """The case of joined windows.

    Args:
        windows: `window_report` of each.
        trials: as in `Case`.
    """
    draws = compounded_draws([window["random_total_returns"] for window in windows], params.seed)
    return Case(evidence, draws, trials, params.backtest.bootstrap_samples, params.seed)


def compounded_draws(windows: Sequence[Sequence[float]], seed: int) -> np.ndarray:
    """(draws,) total returns over all windows: one draw of each, put together at random.

    Args:
        windows: (draws,) total returns of each window, whose draws are independent of the others'.
    """
    generator = np.random.default_rng(derive_seed(seed, "random timing of all windows"))
    growth = np.stack([1 + generator.permutation(np.asarray(window)) for window in windows])
    return np.asarray(growth.prod(axis=0) - 1)
