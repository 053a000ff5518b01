"""The parameters of one agent: as params.yaml has them, or the best that a search finds around them."""

import sys
from typing import TYPE_CHECKING, Any

from MLOps.artifacts import write_json
from MLOps.config.params import load_params
from MLOps.config.schema import as_json
from MLOps.pipelines import paths

if TYPE_CHECKING:
    from MLOps.pipelines.stage import Stage


def main() -> None:
    name = sys.argv[1]
    params = load_params()
    values = as_json(params.agents[name])
    config = params.search.agents
    if not config.trials or not config.spaces.get(name) or params.data.source == "labelled":
        write_json(paths.TUNED_AGENTS / f"{name}.json", values)
        write_json(paths.RECORDS / "tune_agent" / name / "trials.json", [])
        reason = "trials is 0, search.agents.spaces does not name it, or a labelled table has no prices to trade"
        print(f"tune_agent/{name}: as in params.yaml: {reason}")
        return
    # Stages take seconds to import, which one that passes parameters through is spared.
    from MLOps.pipelines.stage import Stage

    with Stage("tune_agent", name) as stage:
        write_json(paths.TUNED_AGENTS / f"{name}.json", values | searched(stage, name, values))


def searched(stage: "Stage", name: str, values: dict[str, Any]) -> dict[str, Any]:
    """The best values that a search finds."""
    from MLOps.agents import training
    from MLOps.agents.algorithms import ALGORITHMS
    from MLOps.agents.tuning import trial_of
    from MLOps.pipelines.agent_data import read_agent_data
    from MLOps.pipelines.searching import search
    from MLOps.training.determinism import seed_torch

    seed, trading = stage.params.seed, stage.params.trading
    seed_torch(seed, stage.params.threads)
    # No space has what an agent observes, so the data are the same for all trials.
    data = read_agent_data(stage.params.agents[name], trading)
    modules = (training.__name__, ALGORITHMS[values["kind"]].partition(":")[0])
    train = trial_of(name, values, data, trading, seed, stage.params.search.agents.metric)
    return search(stage, name, values, stage.params.search.agents, modules, train)


if __name__ == "__main__":
    main()
