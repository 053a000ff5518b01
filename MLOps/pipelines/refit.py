"""The recipe trained once more on all bars, with the choices made; nothing to do unless walk_forward.refit is true."""

import shutil
from typing import TYPE_CHECKING

from MLOps.artifacts import read_json, read_table, whole_folder, write_json
from MLOps.config.params import Params, load_params
from MLOps.pipelines import paths
from MLOps.pipelines.declaration import do_nothing

if TYPE_CHECKING:
    from MLOps.evaluation.refit import Choices

CHECKPOINTS = paths.CHECKPOINTS / "refit"


def main() -> None:
    params = load_params()
    if params.data.source == "labelled" or not params.walk_forward.refit:
        labelled = params.data.source == "labelled"
        reason = "a labelled table has no prices to trade" if labelled else "walk_forward.refit is false"
        do_nothing("refit", "", reason)
        # DVC warns of an empty folder in every stage.
        write_json(paths.REFIT / "none.json", {})
        return
    train()
    # All outputs are written, so the checkpoints are no longer needed.
    shutil.rmtree(CHECKPOINTS, ignore_errors=True)


def train() -> None:
    """Train, and save the parts of a bundle."""
    # They take seconds to import, which a stage with nothing to do is spared.
    from MLOps.data.walk_forward import refit_splits
    from MLOps.evaluation.refit import refit
    from MLOps.pipelines.stage import Stage
    from MLOps.pipelines.workers import workers_of

    with Stage("refit") as stage:
        bars = read_table(paths.BARS)
        timestamps = bars["timestamp"]
        splits = refit_splits(timestamps, stage.params.splits, stage.params.walk_forward)
        with workers_of(stage) as run:
            made = refit(choices(stage.params), bars, splits, CHECKPOINTS, run)
        with whole_folder(paths.REFIT) as folder:
            made.save(folder)
        # No figure of what the models earn: the bars of the test span were used to choose their weights.
        spans = {"train": splits.train, "validation": splits.validation}
        stage.report({f"{name}_bars": timestamps[span.rows(timestamps)].nunique() for name, span in spans.items()})
        stage.report({f"seed_{name}": number for name, number in made.seeds.items()})


def choices(params: Params) -> "Choices":
    """What the stages before have chosen."""
    from MLOps.config.agents import parse_agent
    from MLOps.config.predictors import parse_predictor
    from MLOps.evaluation.refit import Choices, needed_predictors
    from MLOps.predictors.ensemble import Ensemble

    ensemble = Ensemble.from_dict(read_json(paths.VERDICTS)["ensemble"])
    chosen = [read_json(paths.CHOICE)["agent"]] if params.agent_ensemble.kind == "none" else list(params.agents)
    tuned_agents = {name: paths.TUNED_AGENTS / f"{name}.json" for name in chosen}
    agents = {name: parse_agent(read_json(path), str(path)) for name, path in tuned_agents.items()}
    tuned = {name: paths.TUNED / f"{name}.json" for name in needed_predictors(ensemble, agents)}
    return Choices(
        seed=params.seed,
        threads=params.threads,
        features=params.features.names,
        splits=params.splits,
        labels=params.labels,
        predictors={name: parse_predictor(read_json(path), str(path)) for name, path in tuned.items()},
        ensemble=ensemble,
        ensemble_kind=params.validation.ensemble,
        trading=params.trading,
        agents=agents,
        agent_ensemble=params.agent_ensemble,
    )


if __name__ == "__main__":
    main()
