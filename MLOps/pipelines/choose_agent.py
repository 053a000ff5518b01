"""The agent with the highest reward on validation, or the ensemble; the last stage before the test span is opened.

Runs at every `dvc repro`, so that reports/metrics.json holds the figures on validation and no older ones of the test
span until `promote` adds them.
"""

from typing import Any

from MLOps.artifacts import read_json, write_json
from MLOps.config.params import Params, load_params
from MLOps.experiment_tracking.record import check_unchanged, hashes
from MLOps.pipelines import headlines, paths
from MLOps.pipelines.declaration import Declaration
from MLOps.pipelines.failures import exit_with_sentence


def main() -> None:
    with exit_with_sentence("choose_agent"):
        params = load_params()
        check_unchanged(hashes(Declaration.read("choose_agent", "").inputs(params)), paths.RECORDS)
        choice = choose(params)
        write_json(paths.CHOICE, choice)
        before = read_json(paths.HEADLINES) if paths.HEADLINES.exists() else {}
        figures = headlines.of_validation(choice)
        write_json(paths.HEADLINES, figures)
        if not figures.items() <= before.items():
            # MLflow takes a second to import, and is not needed if nothing has changed.
            from MLOps.experiment_tracking.runs import Runs

            Runs(params.tracking).show_on_parent(figures)
        print(f"choose_agent: {choice['agent'] or 'no agent'}; " + headlines.in_words(figures))


def choose(params: Params) -> dict[str, Any]:
    """The agent to trade, the best single agent, and the mean reward per bar on validation by agent."""
    if params.data.source == "labelled":
        return {"agent": None, "best_member": None, "validation_rewards": {}}
    rewards = {
        name: read_json(paths.METRICS / "train_agent" / name / "metrics.json")["selected_validation_reward"]
        for name in params.agents
    }
    best = max(rewards, key=lambda name: rewards[name])
    agent = best if params.agent_ensemble.kind == "none" else headlines.ENSEMBLE
    return {"agent": agent, "best_member": best, "validation_rewards": rewards}


if __name__ == "__main__":
    main()
