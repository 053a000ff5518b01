"""The few figures of a run that are compared between runs: in reports/metrics.json and on the parent run in MLflow."""

from collections.abc import Mapping
from typing import Any

from MLOps.artifacts import read_json
from MLOps.pipelines import paths

# MLOps.evaluation.report has the same names, and imports pandas, which a run without changes is spared.
AGENT, BUY_AND_HOLD, ENSEMBLE = "agent", "buy_and_hold", "ensemble"


def of_validation(choice: Mapping[str, Any]) -> dict[str, float]:
    """What is known before the test span is opened.

    `log_loss_gain` is the ensemble's over the class prior, in nats per bar; `passed` counts predictors;
    `reward` is the chosen agent's, per bar.
    """
    metrics = read_json(paths.METRICS / "validate_predictors" / "metrics.json")
    figures = {
        "log_loss_gain": metrics["class_prior_log_loss"] - metrics["ensemble_log_loss"],
        "passed": sum(verdict["passed"] for verdict in read_json(paths.VERDICTS)["verdicts"]),
    }
    if choice["agent"] == ENSEMBLE:
        ensemble = read_json(paths.METRICS / "ensemble_agents" / "metrics.json")
        figures["reward"] = ensemble[f"fitted_validation_reward_{ENSEMBLE}"]
    elif choice["agent"] is not None:
        figures["reward"] = choice["validation_rewards"][choice["agent"]]
    return figures


def of_test() -> dict[str, float]:
    """The out-of-sample figures: of all windows of the walk-forward evaluation together, or of the test span alone.

    `excess_sharpe` is the Sharpe ratio less that of buy-and-hold; `random_rank` is of the test span.
    """
    report = read_json(paths.BACKTEST)
    joined = paths.WALK_FORWARD_REPORT
    policies = read_json(joined)["joined"] if joined.exists() else report["metrics"]
    own = policies[AGENT]
    return {
        "sharpe": own["sharpe"],
        "cagr": own["cagr"],
        "drawdown": own["max_drawdown"],
        "excess_sharpe": own["sharpe"] - policies[BUY_AND_HOLD]["sharpe"],
        "random_rank": report["random_rank"],
    }


def in_words(figures: Mapping[str, float]) -> str:
    """The figures in one line."""
    return ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in figures.items())
