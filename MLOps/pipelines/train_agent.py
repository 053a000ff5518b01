"""One agent of params.yaml, trained on out-of-fold signals, its weights chosen on validation."""

import shutil
import sys

from MLOps.agents.observations import MarketView
from MLOps.agents.training import train
from MLOps.artifacts import read_json, read_table, whole_folder
from MLOps.config.params import load_params
from MLOps.data.splits import Splits
from MLOps.deployment.agent_logging import log_agent
from MLOps.evaluation.performance import performance
from MLOps.pipelines import paths
from MLOps.pipelines.stage import Stage, do_nothing
from MLOps.predictors.ensemble import Ensemble
from MLOps.trading import simulate
from MLOps.training.determinism import seed_torch

PER_SPAN = ("total_return", "max_drawdown", "exposure", "win_rate", "costs")
PER_BAR = ("sharpe", "turnover")


def main() -> None:
    name = sys.argv[1]
    if load_params().data.source == "labelled":
        do_nothing("train_agent", name, "a labelled table has no prices to trade")
        return
    with Stage("train_agent", name) as stage:
        config = stage.params.agents[name]
        bars, features = read_table(paths.BARS), read_table(paths.FEATURES)
        signals = read_table(paths.SIGNALS)
        splits = Splits.from_dict(read_json(paths.SPLITS))
        ensemble = Ensemble.from_dict(read_json(paths.VERDICTS)["ensemble"])
        seed_torch(stage.params.seed, stage.params.threads)
        left_out = read_json(paths.FEATURE_PIPELINE)["left_out"]
        training = splits.train.rows(features["timestamp"])
        view = MarketView.fit(config.observe, ensemble, features, signals, training, left_out)
        market = view.market(bars, features, signals, stage.params.trading)
        validation = market.between(splits.validation.start, splits.validation.end)
        agent, reward = train(
            config,
            view,
            market.between(splits.train.start, splits.train.end),
            validation,
            stage.params.trading,
            stage.params.seed,
            stage.log,
            paths.CHECKPOINTS / "agents" / name,
        )
        with whole_folder(paths.AGENTS / name) as folder:
            agent.save(folder)
        log_agent(stage.run, paths.AGENTS / name)
        # Of a year of one bar: nothing here depends on how many bars make a year.
        metrics = performance(simulate(agent.policy(), validation, stage.params.trading), bars_per_year=1)
        stage.report({"validation_reward": reward})
        stage.report({f"validation_{name}": metrics[name] for name in PER_SPAN})
        stage.report({f"validation_{name}_per_bar": metrics[name] for name in PER_BAR})
    # All outputs are written, so the checkpoints are no longer needed.
    shutil.rmtree(paths.CHECKPOINTS / "agents" / name, ignore_errors=True)


if __name__ == "__main__":
    main()
