"""One agent of params.yaml, trained on out-of-fold signals, its weights chosen on validation."""

import sys

from MLOps.agents.observations import MarketView
from MLOps.agents.training import train
from MLOps.artifacts import read_json, read_table, whole_folder
from MLOps.data.splits import Splits
from MLOps.deployment.logged import log_agent
from MLOps.determinism import repeat_torch
from MLOps.evaluation.figures import training_figure
from MLOps.evaluation.performance import performance
from MLOps.pipelines import paths
from MLOps.pipelines.stage import WITHOUT_PRICES, Stage
from MLOps.predictors.ensemble import Ensemble
from MLOps.trading import Market, simulate

# The six of stable-baselines3's metrics, and ours, that tell whether an agent learns.
SHOWN = (
    "rollout/ep_rew_mean",
    "train/entropy_loss",
    "train/value_loss",
    "train/explained_variance",
    "train/clip_fraction",
    "validation_reward",
)

PER_SPAN = ("total_return", "max_drawdown", "exposure", "win_rate", "costs")
PER_BAR = ("sharpe", "turnover")


def main() -> None:
    name = sys.argv[1]
    with Stage("train_agent", name) as stage:
        if stage.params.data.source == "labelled":
            stage.skip(WITHOUT_PRICES)
            return
        config = stage.params.agents[name]
        bars, features = read_table(paths.BARS), read_table(paths.FEATURES)
        signals = read_table(paths.SIGNALS)
        splits = Splits.from_dict(read_json(paths.SPLITS))
        ensemble = Ensemble.from_dict(read_json(paths.VERDICTS)["ensemble"])
        repeat_torch(stage.params.seed, stage.params.threads)
        left_out = read_json(paths.FEATURE_PIPELINE)["left_out"]
        training = splits.train.rows(features["timestamp"])
        view = MarketView.fit(config.observe, ensemble.forecasters, features, training, left_out)
        market = Market.from_tables(bars, view.observe(features, signals))
        validation = market.between(splits.validation.start, splits.validation.end)
        agent, reward = train(
            config,
            view,
            market.between(splits.train.start, splits.train.end),
            validation,
            stage.params.trading,
            stage.params.seed,
            stage.log,
        )
        with whole_folder(paths.AGENTS / name) as folder:
            agent.save(folder)
        log_agent(stage.run, paths.AGENTS / name)
        ledger = simulate(agent.policy, validation, stage.params.trading)
        # Of a year of one bar: nothing here depends on how many bars make a year.
        per_bar = performance(ledger, bars_per_year=1)
        figures = {name: per_bar[name] for name in PER_SPAN}
        figures |= {f"{name}_per_bar": per_bar[name] for name in PER_BAR}
        stage.report({"validation_reward": reward, **{f"validation_{k}": v for k, v in figures.items()}})
        shown = [(step, {k: v for k, v in metrics.items() if k in SHOWN}) for step, metrics in stage.record.history]
        training_figure(shown, stage.artifact("training.png"))


if __name__ == "__main__":
    main()
