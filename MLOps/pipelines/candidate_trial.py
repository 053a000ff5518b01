"""The candidate as a trial: its out-of-sample returns as far as stages have left them."""

import numpy as np

from MLOps.artifacts import read_table
from MLOps.evaluation.report import AGENT
from MLOps.experiment_tracking.trials import Trial
from MLOps.pipelines import paths


def candidate_trial() -> Trial:
    """The agent's returns over the joined windows of the walk-forward evaluation, or over the test span alone."""
    own = read_table(paths.RETURNS)
    on_test = Trial.of(own["timestamp"], own[AGENT])
    if not paths.WALK_FORWARD_RETURNS.exists():
        return on_test
    joined = read_table(paths.WALK_FORWARD_RETURNS)
    trial = Trial.of(joined["timestamp"], joined[AGENT], on_test.candidate)
    return trial if _ends_with(trial, on_test) else on_test


def _ends_with(joined: Trial, on_test: Trial) -> bool:
    """Whether the joined returns are this candidate's: a stage run by hand may have left those of another."""
    n = len(on_test.returns)
    same_time = np.array_equal(joined.timestamps[-n:], on_test.timestamps)
    return same_time and np.array_equal(joined.returns[-n:], on_test.returns)
