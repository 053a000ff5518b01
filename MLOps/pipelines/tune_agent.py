"""The parameters of one agent: as params.yaml has them, or the best that a search finds around them."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from MLOps.artifacts import write_json
from MLOps.config.agents import parse_agent
from MLOps.config.params import load_params
from MLOps.pipelines import paths
from MLOps.pipelines.declaration import as_json

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
    """The best values that a search finds: each trial trains with one seed, the same for all.

    The loss of an evaluation is the negative reward on validation.
    """
    from MLOps.agents import training
    from MLOps.agents.algorithms import ALGORITHMS
    from MLOps.pipelines.agent_data import AgentData
    from MLOps.pipelines.searching import search
    from MLOps.training.determinism import seed_torch
    from MLOps.training.search import OnEpoch
    from MLOps.training.seeds import derive_seed

    seed, trading = stage.params.seed, stage.params.trading
    where = f"search.agents.spaces.{name}"
    seed_torch(seed, stage.params.threads)
    # No space has what an agent observes, so the data are the same for all trials.
    data = AgentData.read(stage.params.agents[name], trading)

    def train(drawn: dict[str, Any], on_epoch: OnEpoch, checkpoints: Path) -> None:
        config = parse_agent({**values, **drawn}, where)
        evaluations = 0

        def on_step(_: int, metrics: Mapping[str, float]) -> None:
            nonlocal evaluations
            if "validation_reward" in metrics:
                # Counted, because the steps at which rollouts end may differ between trials, and pruning compares.
                evaluations += 1
                on_epoch(evaluations, {"selection_loss": -metrics["validation_reward"]})

        trial_seed = derive_seed(seed, "trials", name)
        training.train(
            config,
            data.view,
            data.training,
            data.validation,
            trading,
            trial_seed,
            on_step,
            checkpoints,
            data.pretrained,
        )

    modules = (training.__name__, ALGORITHMS[values["kind"]].partition(":")[0])
    return search(stage, name, values, stage.params.search.agents, modules, train)


if __name__ == "__main__":
    main()
