"""One agent of params.yaml, trained on out-of-fold signals with several seeds; validation chooses weights and seed."""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from MLOps.agents.policy import Agent
from MLOps.agents.training import train
from MLOps.artifacts import read_json, whole_folder
from MLOps.config.agents import AgentConfig, parse_agent
from MLOps.config.params import load_params
from MLOps.deployment.agent_logging import log_agent
from MLOps.evaluation.performance import performance
from MLOps.pipelines import paths
from MLOps.pipelines.agent_data import AgentData
from MLOps.pipelines.declaration import do_nothing
from MLOps.pipelines.stage import Stage
from MLOps.pipelines.user_errors import exit_on_user_error
from MLOps.statistics.seed_spread import seed_spread
from MLOps.trading import simulate
from MLOps.training.determinism import seed_torch
from MLOps.training.seeds import derive_seed

PER_SPAN = ("total_return", "max_drawdown", "exposure", "win_rate", "costs")
PER_BAR = ("sharpe", "turnover")


@dataclass(frozen=True)
class Trained:
    """The agent of one seed: its history (step, metrics) and its metrics on validation.

    `metrics["reward"]` is the highest of the evaluations, whose weights were kept.
    """

    agent: Agent
    history: list[tuple[int, Mapping[str, float]]]
    metrics: dict[str, float]


def main() -> None:
    name = sys.argv[1]
    if load_params().data.source == "labelled":
        do_nothing("train_agent", name, "a labelled table has no prices to trade")
        return
    tuned = paths.TUNED_AGENTS / f"{name}.json"
    with exit_on_user_error(f"train_agent/{name}"):
        config = parse_agent(read_json(tuned), str(tuned))
    with Stage("train_agent", name, agent=asdict(config)) as stage:
        data = AgentData.read(config, stage.params.trading)
        seed_torch(stage.params.seed, stage.params.threads)
        trained = [train_seed(stage, name, config, data, number) for number in range(config.seeds)]
        chosen = max(trained, key=lambda one: one.metrics["reward"])
        with whole_folder(paths.AGENTS / name) as folder:
            chosen.agent.save(folder)
        log_agent(stage.run, paths.AGENTS / name)
        for step, metrics in chosen.history:
            stage.log(step, metrics)
        stage.report({f"selected_validation_{metric}": value for metric, value in chosen.metrics.items()})
        for metric in chosen.metrics:
            values = [one.metrics[metric] for one in trained]
            spread = seed_spread(values, derive_seed(stage.params.seed, "spread", name, metric))
            stage.report({f"validation_{metric}_{statistic}": value for statistic, value in spread.items()})
    # All outputs are written, so the checkpoints are no longer needed.
    shutil.rmtree(paths.CHECKPOINTS / "agents" / name, ignore_errors=True)


def train_seed(stage: Stage, name: str, config: AgentConfig, data: AgentData, number: int) -> Trained:
    """Train with the seed of this number; the training is a run below that of the stage."""
    seed = derive_seed(stage.params.seed, name, number)
    history: list[tuple[int, Mapping[str, float]]] = []
    with stage.run.nested("seed", f"{name} seed {number}", {"number": number, "seed": seed}) as run:

        def on_step(step: int, metrics: Mapping[str, float]) -> None:
            history.append((step, metrics))
            run.log(step, metrics)

        checkpoints, trading = paths.CHECKPOINTS / "agents" / name, stage.params.trading
        agent, reward = train(
            config,
            data.view,
            data.training,
            data.validation,
            trading,
            seed,
            on_step,
            checkpoints,
            data.pretrained,
        )
        validation = agent.seen(data.validation, data.pretrained)
        # Of a year of one bar: nothing here depends on how many bars make a year.
        of_span = performance(simulate(agent.policy(), validation, trading), bars_per_year=1)
        metrics = {"reward": reward, **{metric: of_span[metric] for metric in PER_SPAN}}
        metrics |= {f"{metric}_per_bar": of_span[metric] for metric in PER_BAR}
        run.log(config.total_timesteps, {f"selected_validation_{metric}": value for metric, value in metrics.items()})
    return Trained(agent, history, metrics)


if __name__ == "__main__":
    main()
