"""The test span, which no earlier stage uses: the scores of the predictors, and the trades of the agent with the best
validation reward, or of the ensemble, beside the baselines."""

import pandas as pd

from MLOps.agents.ensemble import load_agent
from MLOps.artifacts import read_json, read_table, whole_file, write_json, write_table
from MLOps.data.bars import ROW_ID, TARGET
from MLOps.data.splits import Splits
from MLOps.evaluation.backtest import backtest
from MLOps.evaluation.candidate import Candidate
from MLOps.evaluation.performance import Portfolio
from MLOps.evaluation.plots import equity_plot, equity_table, training_plot
from MLOps.evaluation.predictor_scores import headline, predictor_scores
from MLOps.evaluation.report import AGENT
from MLOps.experiment_tracking.trials import Trial
from MLOps.features.dataset import read_features
from MLOps.pipelines import paths
from MLOps.pipelines.stage import Stage
from MLOps.predictors.ensemble import ENSEMBLE
from MLOps.predictors.signals import probability_columns, signals_of
from MLOps.training.seeds import derive_seed

SHOWN_OF_BASELINES = ("total_return", "sharpe", "max_drawdown")
# Six of stable-baselines3's metrics and ours show whether an agent learns.
SHOWN_OF_TRAINING = (
    "rollout/ep_rew_mean",
    "train/entropy_loss",
    "train/value_loss",
    "train/explained_variance",
    "train/clip_fraction",
    "validation_reward",
)


def main() -> None:
    with Stage("backtest") as stage:
        bars, signals = read_table(paths.BARS), read_table(paths.SIGNALS)
        splits = Splits.from_dict(read_json(paths.SPLITS))
        score_predictors(stage, signals, splits)
        if stage.params.data.source == "labelled":
            print("backtest: predictors only: a labelled table has no prices to trade")
            write_submission(stage, bars, signals)
            return
        choice = read_json(paths.CHOICE)
        ensemble = None if stage.params.agent_ensemble.kind == "none" else load_agent(paths.AGENT_ENSEMBLE)
        agents = {name: load_agent(paths.AGENTS / name) for name in stage.params.agents}
        candidate = Candidate.choose(agents, choice["validation_rewards"], ensemble)
        market = candidate.agent.market(bars, read_features(paths.FEATURES), signals, stage.params.trading)
        result = backtest(
            candidate.agent.policy(),
            market.between(splits.test.start, splits.test.end),
            bars,
            signals,
            stage.params.trading,
            stage.params.backtest,
            stage.params.seed,
            candidate.others,
        )
        returns = result.returns()
        stage.count_trial(Trial.of(returns["timestamp"], returns[AGENT]))
        bars_per_year = read_json(paths.CLOCK)["bars_per_year"]
        report = result.report(candidate.name, choice["validation_rewards"], splits.test, bars_per_year)
        write_json(paths.BACKTEST, report.to_dict())
        write_table(paths.RETURNS, returns)
        ledgers = [ledger.to_frame().assign(policy=name) for name, ledger in result.ledgers.items()]
        write_table(paths.LEDGERS, pd.concat(ledgers, ignore_index=True))
        portfolios = {name: Portfolio.of(ledger) for name, ledger in result.ledgers.items()}
        with whole_file(stage.artifact("equity.csv")) as temporary:
            equity_table(portfolios).to_csv(temporary, index=False)
        equity_plot(portfolios, stage.artifact("equity.png"))
        for name in stage.params.agents:
            history = pd.read_csv(paths.HISTORY / "train_agent" / name / "history.csv", index_col="step")
            shown = [column for column in SHOWN_OF_TRAINING if column in history.columns]
            training_plot(history[shown], stage.artifact(f"{name}/training.png"))
        stage.report(report.metrics[AGENT])
        stage.report(
            {
                f"{policy}_{name}": metrics[name]
                for policy, metrics in report.metrics.items()
                if policy != AGENT
                for name in SHOWN_OF_BASELINES
            }
        )
        stage.report({"random_rank": report.random_rank})


def write_submission(stage: Stage, table: pd.DataFrame, signals: pd.DataFrame) -> None:
    """Write the ensemble's forecasts of the rows without a target, by their ids."""
    unlabelled = table[table[TARGET].isna()]
    if unlabelled.empty:
        return
    ensemble = signals_of(ENSEMBLE, signals)
    forecasts = unlabelled[["timestamp", ROW_ID]].merge(ensemble, on="timestamp")
    columns = {ROW_ID: "id", "expected_return": "prediction"}
    submitted = forecasts[[*columns, *probability_columns(ensemble)]].rename(columns=columns)
    path = stage.artifact("submission.csv")
    with whole_file(path) as temporary:
        submitted.to_csv(temporary, index=False)
    print(f"backtest: {path}: forecasts of {len(submitted)} of {len(unlabelled)} rows without a target")


def score_predictors(stage: Stage, signals: pd.DataFrame, splits: Splits) -> None:
    """Write and report the scores of the predictors and their ensemble on the test span."""
    config, seed = stage.params.backtest, derive_seed(stage.params.seed, "predictors")
    scored = predictor_scores(
        signals,
        read_table(paths.LABELS),
        splits,
        config.confidence,
        config.bootstrap_samples,
        read_json(paths.CLOCK)["bars_per_year"],
        seed,
    )
    write_json(paths.PREDICTOR_SCORES, scored)
    stage.report(headline(scored))


if __name__ == "__main__":
    main()
