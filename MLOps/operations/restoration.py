"""Complete the store: write the runs of stages whose results came from DVC's cache."""

from collections.abc import Iterable
from pathlib import Path

from MLOps.experiment_tracking.record import Record
from MLOps.experiment_tracking.runs import Run, Runs


def restore_runs(runs: Runs, records: Iterable[Record], predictors: Path, agents: Path, n_features: int) -> list[str]:
    """Write the run of each record that the store has no run of, with the model that the stage trained.

    Args:
        predictors: the folder of trained predictors, a folder a variant.
        agents: the folder of trained agents.
        n_features: in the feature table.

    Returns:
        The stages whose runs were written.
    """

    def log_model(record: Record, run: Run) -> None:
        stage, _, variant = record.stage.partition("/")
        if stage == "train_predictor":
            log_saved_predictor(run, predictors / variant, n_features)
        elif stage == "train_agent":
            # MLflow's models take a second to import, which a complete store is spared.
            from MLOps.deployment.agent_logging import log_agent

            log_agent(run, agents / variant)

    missing = [record for record in records if runs.find(record) is None]
    for record in missing:
        runs.restore(record, log_model)
    return [record.stage for record in missing]


def log_saved_predictor(run: Run, folder: Path, n_features: int) -> None:
    """Log the predictor saved in `folder` as the model of a run."""
    # MLflow's models take a second to import, which a complete store is spared.
    from MLOps.deployment.predictor_logging import log_predictor
    from MLOps.predictors.kinds import load_predictor

    log_predictor(run, folder, load_predictor(folder).lookback_bars, n_features)
