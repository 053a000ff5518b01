"""The recipe repeated on the bars of earlier times, and the returns of all windows joined with the backtest's."""

import shutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from MLOps.config.params import Params
    from MLOps.data.walk_forward import Window
    from MLOps.evaluation.outcome import Outcome
    from MLOps.evaluation.walk_forward import Recipe
    from MLOps.pipelines.stage import Stage

SHOWN_OF_BASELINES = ("total_return", "sharpe", "max_drawdown")


def main() -> None:
    # The process of each window imports this module first, so what takes time is imported where it is used.
    from MLOps.config.params import load_params
    from MLOps.pipelines import paths
    from MLOps.pipelines.declaration import do_nothing

    if load_params().data.source == "labelled":
        do_nothing("walk_forward", "", "a labelled table has no prices to trade")
        return
    evaluate()
    # All outputs are written, so the finished windows are no longer needed.
    shutil.rmtree(paths.WINDOWS, ignore_errors=True)


def evaluate() -> None:
    """Compute the earlier windows, and join them with the backtest."""
    from MLOps.artifacts import read_json, read_table, write_json
    from MLOps.data.walk_forward import windows_of
    from MLOps.evaluation.evidence import Evidence
    from MLOps.evaluation.report import AGENT
    from MLOps.pipelines import paths
    from MLOps.pipelines.stage import Stage

    with Stage("walk_forward") as stage:
        timestamps = read_table(paths.BARS)["timestamp"]
        *earlier, _ = windows_of(timestamps, stage.params.splits, stage.params.walk_forward)
        outcomes = [*computed(stage, earlier), backtested()]
        reports = [outcome.report for outcome in outcomes]
        bars_per_year = read_json(paths.CLOCK)["bars_per_year"]
        evidence = Evidence.join([outcome.returns for outcome in outcomes], bars_per_year)
        evidence.write(paths.WALK_FORWARD)
        joined = evidence.metrics([report["metrics"] for report in reports])
        write_json(paths.WALK_FORWARD_REPORT, {"windows": reports, "joined": joined})
        for number, report in enumerate(reports):
            log_window(stage, number, report)
        stage.report({"windows": len(reports), "bars": len(evidence.timestamps), **joined.pop(AGENT)})
        for policy, metrics in joined.items():
            stage.report({f"{policy}_{name}": metrics[name] for name in SHOWN_OF_BASELINES})


def computed(stage: "Stage", windows: "Sequence[Window]") -> "list[Outcome]":
    """The outcomes of the windows before the last."""
    if not windows:
        return []
    # They take seconds to import, which one window alone is spared.
    from MLOps.evaluation.walk_forward import Task, compute
    from MLOps.pipelines import paths
    from MLOps.pipelines.workers import workers_of

    recipe = recipe_of(stage.params)
    tasks = [
        Task(number, window, recipe, paths.RAW_BARS, stage.record.environment, paths.WINDOWS)
        for number, window in enumerate(windows)
    ]
    with workers_of(stage) as run:
        return run(compute, tasks, "windows")


def recipe_of(params: "Params") -> "Recipe":
    """What a window reads of params.yaml."""
    from MLOps.evaluation.walk_forward import Recipe

    return Recipe(
        seed=params.seed,
        threads=params.threads,
        calendar=params.data.calendar,
        bars_per_year=params.data.bars_per_year,
        on_missing=params.data.on_missing,
        drop_findings=params.data.drop_findings,
        sentiment=params.data.sentiment,
        features=params.features.names,
        splits=params.splits,
        labels=params.labels,
        predictors=params.predictors,
        search=params.search,
        validation=params.validation,
        trading=params.trading,
        agents=params.agents,
        agent_ensemble=params.agent_ensemble,
        backtest=params.backtest,
    )


def backtested() -> "Outcome":
    """The outcome of the last window, which the pipeline is."""
    from MLOps.artifacts import read_json, read_table
    from MLOps.data.splits import Splits
    from MLOps.evaluation.outcome import Outcome, window_report
    from MLOps.evaluation.report import ENSEMBLE, BacktestReport
    from MLOps.pipelines import paths

    report = BacktestReport.from_dict(read_json(paths.BACKTEST))
    seed = None
    if report.agent != ENSEMBLE:
        seed = int(read_json(paths.METRICS / "train_agent" / report.agent / "metrics.json")["selected_seed"])
    splits = Splits.from_dict(read_json(paths.SPLITS))
    return Outcome(window_report(report, splits, seed), read_table(paths.RETURNS))


def log_window(stage: "Stage", number: int, report: dict[str, Any]) -> None:
    """A run below the stage's, with the metrics of the agent and of the baselines."""
    from MLOps.evaluation.report import AGENT

    shown = {name: report[name] for name in ("start", "end", "agent", "seed")}
    with stage.run.nested("window", f"window {number}", {"number": number, **shown}) as run:
        run.log(number, report["metrics"][AGENT])
        run.log(number, {"random_rank": report["random_rank"]})
        for policy, metrics in report["metrics"].items():
            if policy != AGENT:
                run.log(number, {f"{policy}_{name}": metrics[name] for name in SHOWN_OF_BASELINES})


if __name__ == "__main__":
    main()
