"""One agent of params.yaml, trained on out-of-fold signals with several seeds; validation chooses weights and seed."""

import sys
from dataclasses import asdict
from functools import partial

from MLOps.agents.data import AgentData
from MLOps.agents.seeds import Trained, agent_seed, best, train_seed
from MLOps.artifacts import read_json, whole_folder
from MLOps.config.agents import AgentConfig, parse_agent
from MLOps.config.params import load_params
from MLOps.config.trading import TradingConfig
from MLOps.deployment.agent_logging import log_agent
from MLOps.evaluation.performance import performance
from MLOps.experiment_tracking.runs import Run
from MLOps.pipelines import paths
from MLOps.pipelines.agent_data import read_agent_data
from MLOps.pipelines.declaration import do_nothing
from MLOps.pipelines.failures import exit_with_sentence
from MLOps.pipelines.stage import Stage
from MLOps.pipelines.workers import workers_of
from MLOps.statistics.seed_spread import seed_spread
from MLOps.trading import simulate
from MLOps.training.determinism import seed_torch
from MLOps.training.seeds import derive_seed

PER_SPAN = ("total_return", "max_drawdown", "exposure", "win_rate", "costs")
PER_BAR = ("sharpe", "turnover")


def main() -> None:
    name = sys.argv[1]
    if load_params().data.source == "labelled":
        do_nothing("train_agent", name, "a labelled table has no prices to trade")
        return
    tuned = paths.TUNED_AGENTS / f"{name}.json"
    with exit_with_sentence(f"train_agent/{name}"):
        config = parse_agent(read_json(tuned), str(tuned))
    with Stage("train_agent", name, agent=asdict(config)) as stage:
        data = read_agent_data(config, stage.params.trading)
        seed = stage.params.seed
        seed_torch(seed, stage.params.threads)
        train_one = partial(train, stage.run, name, config, data, stage.params.trading, seed)
        with workers_of(stage) as run:
            results = run(train_one, range(config.seeds), "seeds")
        trained, metrics = zip(*results, strict=True)
        chosen = best(trained)
        with whole_folder(paths.AGENTS / name) as folder:
            chosen.agent.save(folder)
        log_agent(stage.run, paths.AGENTS / name)
        for step, row in chosen.history:
            stage.log(step, row)
        stage.report({f"selected_validation_{metric}": value for metric, value in metrics[chosen.number].items()})
        stage.report({"selected_seed": chosen.number})
        for metric in metrics[chosen.number]:
            values = [one[metric] for one in metrics]
            spread = seed_spread(values, derive_seed(seed, "spread", name, metric))
            stage.report({f"validation_{metric}_{statistic}": value for statistic, value in spread.items()})
    stage.finish_checkpoints(paths.CHECKPOINTS / "agents" / name, config.keep_checkpoints)


def train(
    above: Run, name: str, config: AgentConfig, data: AgentData, trading: TradingConfig, seed: int, number: int
) -> tuple[Trained, dict[str, float]]:
    """Train with the seed of this number, in a run below that of the stage; see `validation_metrics`."""
    shown = {"number": number, "seed": agent_seed(seed, name, number)}
    with above.nested("seed", f"{name} seed {number}", shown) as run:
        trained = train_seed(name, config, data, trading, seed, number, run.log, paths.CHECKPOINTS / "agents" / name)
        metrics = validation_metrics(trained, data, trading)
        run.log(config.total_timesteps, {f"selected_validation_{metric}": value for metric, value in metrics.items()})
    return trained, metrics


def validation_metrics(trained: Trained, data: AgentData, trading: TradingConfig) -> dict[str, float]:
    """`reward` is the highest of the evaluations, whose weights were kept."""
    validation = trained.agent.seen(data.validation, data.pretrained)
    # Of a year of one bar: nothing here depends on how many bars make a year.
    of_span = performance(simulate(trained.agent.policy(), validation, trading), bars_per_year=1)
    metrics = {"reward": trained.reward, **{metric: of_span[metric] for metric in PER_SPAN}}
    return metrics | {f"{metric}_per_bar": of_span[metric] for metric in PER_BAR}


if __name__ == "__main__":
    main()
