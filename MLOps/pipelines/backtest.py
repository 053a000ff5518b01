"""The agent that did best on validation, and the baselines, on the test span: the one place where it is opened."""

import pandas as pd

from MLOps.agents.policy import Agent
from MLOps.artifacts import read_json, read_table, write_json, write_table
from MLOps.data.splits import Splits
from MLOps.determinism import repeat_torch
from MLOps.evaluation.backtest import backtest
from MLOps.evaluation.figures import equity_figure
from MLOps.evaluation.performance import Portfolio
from MLOps.evaluation.report import AGENT
from MLOps.pipelines import paths
from MLOps.pipelines.stage import WITHOUT_PRICES, Stage
from MLOps.trading import Market

SHOWN_OF_BASELINES = ("total_return", "sharpe", "max_drawdown")


def main() -> None:
    with Stage("backtest") as stage:
        if stage.params.data.source == "labelled":
            stage.skip(WITHOUT_PRICES)
            return
        repeat_torch(stage.params.seed, stage.params.threads)
        bars, signals = read_table(paths.BARS), read_table(paths.SIGNALS)
        splits = Splits.from_dict(read_json(paths.SPLITS))
        rewards = {
            name: read_json(paths.METRICS / "train_agent" / f"{name}.json")["validation_reward"]
            for name in stage.params.agents
        }
        chosen = max(rewards, key=lambda name: rewards[name])
        agent = Agent.load(paths.AGENTS / chosen)
        market = Market.from_tables(bars, agent.view.observe(read_table(paths.FEATURES), signals))
        test = market.between(splits.test.start, splits.test.end)
        result = backtest(
            agent.policy, test, bars, signals, stage.params.trading, stage.params.backtest, stage.params.seed
        )
        report = result.report(chosen, rewards, splits.test, read_json(paths.CLOCK)["bars_per_year"])
        write_json(paths.BACKTEST, report.to_dict())
        ledgers = [ledger.to_frame().assign(policy=name) for name, ledger in result.ledgers.items()]
        write_table(paths.LEDGERS, pd.concat(ledgers, ignore_index=True))
        portfolios = {name: Portfolio.of(ledger) for name, ledger in result.ledgers.items()}
        equity_figure(portfolios, stage.artifact("equity.png"))
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


if __name__ == "__main__":
    main()
