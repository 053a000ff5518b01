"""The results as a page of text: predictors, agents, test span, gate, next steps."""

import math
import statistics
from typing import Any

from MLOps.artifacts import read_json
from MLOps.config.params import Params
from MLOps.data.quality import Finding
from MLOps.evaluation.report import AGENT, BEST_MEMBER, BacktestReport
from MLOps.experiment_tracking.store import connect
from MLOps.model_registry.versions import ALIASES, CANDIDATE, CHAMPION, Registry
from MLOps.pipelines import paths

COLUMNS = ("total_return", "sharpe", "max_drawdown", "turnover", "exposure")


def as_text(params: Params) -> str:
    """The results of the last run, and what to do next."""
    parts = ["\n".join(data()), "\n".join(predictors())]
    if params.data.source == "labelled":
        parts += ["No agent, no backtest: a labelled table has no prices to trade."]
        parts += ["\n".join(standing(registry) for registry in _predictor_registries(params).values())]
        return "\n\n".join([*parts, "Next:\n  make ui      compare the runs in MLflow"])
    parts += ["\n".join(part) for part in (agents(list(params.agents)), test_span(), walk_forward())]
    registry = Registry.of_bundles(connect(params.tracking)[0], params.tracking)
    lines = []
    if (candidate := registry.version_at(CANDIDATE)) is not None:
        tags = registry.tags(candidate)
        lines += [f"{tags['refit']}."] if "refit" in tags else []
        lines.append(f"Gate: {tags.get('gate', 'not asked yet')}. {tags.get('gate_reasons', 'Run dvc repro')}.")
    lines += [standing(each) for each in (*_predictor_registries(params).values(), registry)]
    parts += ["\n".join(lines)]
    parts += ["Next:\n  make ui      compare the runs in MLflow\n  make serve   ask the candidate for a decision"]
    return "\n\n".join(parts)


def as_values(params: Params) -> dict[str, Any]:
    """The same results as values: verdicts, headlines, reports, the gate's verdict, and where the aliases point."""
    verdicts = read_json(paths.VERDICTS)
    common = {
        "predictors": verdicts["verdicts"],
        "headlines": read_json(paths.HEADLINES),
        "predictor_aliases": {name: aliases(registry) for name, registry in _predictor_registries(params).items()},
    }
    if params.data.source == "labelled":
        return common
    registry = Registry.of_bundles(connect(params.tracking)[0], params.tracking)
    return {
        **common,
        "choice": read_json(paths.CHOICE),
        "test": read_json(paths.BACKTEST)["metrics"],
        "walk_forward": read_json(paths.WALK_FORWARD_REPORT),
        "gate": read_json(paths.VERDICT),
        "model": registry.name,
        "aliases": aliases(registry),
    }


def _predictor_registries(params: Params) -> dict[str, Registry]:
    client = connect(params.tracking)[0]
    return {name: Registry.of_predictor(client, params.tracking, name) for name in params.predictors}


def aliases(registry: Registry) -> dict[str, str | None]:
    """Where the aliases of a registered model point."""
    return {alias: registry.version_at(alias) for alias in ALIASES}


def standing(registry: Registry) -> str:
    """The same in a sentence."""
    pointed = aliases(registry)
    if pointed[CANDIDATE] is None:
        return f"{registry.name}: not registered."
    champion = f"champion is version {pointed[CHAMPION]}" if pointed[CHAMPION] else "no champion"
    return f"{registry.name}: candidate is version {pointed[CANDIDATE]}, {champion}."


def data() -> list[str]:
    """The quality score, and the findings that are warnings."""
    report = read_json(paths.QUALITY)
    warnings = [Finding(**finding) for finding in report["findings"] if finding["severity"] == "warning"]
    title = f"Data, quality score {report['score']:.4f}"
    if not warnings:
        return [f"{title}: no warning."]
    return [f"{title}, warnings:", *(f"  {finding.sentence}" for finding in warnings)]


def predictors() -> list[str]:
    """Log loss on validation, gains over the baselines, and their parts by direction and magnitude."""
    judged = read_json(paths.VERDICTS)
    verdicts, members = judged["verdicts"], judged["ensemble"]["members"]
    names = [comparison["baseline"] for comparison in verdicts[0]["comparisons"]]
    lines = [f"{'Predictors, validation':24}{'log loss':>10}" + "".join(f"{'gain over ' + n:>30}" for n in names)]
    for verdict in verdicts:
        gains = "".join(map(_gain, verdict["comparisons"]))
        lines.append(f"{verdict['predictor']:24}{verdict['log_loss']:>10.4f}{gains}")
    for number, name in enumerate(names):
        lines.append(f"{name:24}{verdicts[0]['comparisons'][number]['baseline_log_loss']:>10.4f}")
    lines += ["", f"{'Gain over class_prior':34}{'by direction':>30}{'by magnitude':>30}"]
    for verdict in verdicts:
        lines.append(f"{verdict['predictor']:34}{_gain(verdict['direction'])}{_gain(verdict['magnitude'])}")
    for verdict in verdicts:
        used = "" if verdict["predictor"] in members or not verdict["passed"] else "; validation.use leaves it out"
        lines.append(f"{verdict['predictor']} {verdict['conclusion']}{used}.")
        if training := verdict.get("convergence"):
            lines.append(f"{verdict['predictor']} training {training['state']}: {training['reason']}.")
    return lines


def agents(names: list[str]) -> list[str]:
    """Each agent on validation, and the spread over its seeds; ratios per bar are annualised."""
    bars_per_year = read_json(paths.CLOCK)["bars_per_year"]
    metrics = {name: read_json(paths.METRICS / "train_agent" / name / "metrics.json") for name in names}
    # Weights and seed were selected on this span, so these metrics are biased upwards.
    lines = [_head("Agents, selected here")]
    for name, own in metrics.items():
        shown = {column: own.get(f"selected_validation_{column}") for column in COLUMNS}
        shown["sharpe"] = own["selected_validation_sharpe_per_bar"] * math.sqrt(bars_per_year)
        shown["turnover"] = own["selected_validation_turnover_per_bar"] * bars_per_year
        lines.append(_row(name, shown))
    if several := [name for name in names if "validation_reward_iqm_lower" in metrics[name]]:
        titles = ("median", "interquartile mean", "95 % interval", "interq. range")
        lines += ["", f"{'Over seeds, validation':24}{titles[0]:>14}{titles[1]:>20}{titles[2]:>22}{titles[3]:>16}"]
        for name in several:
            lines += [_spread(f"{name} reward", metrics[name], "reward", ".4f")]
            lines += [_spread(f"{name} total return", metrics[name], "total_return", ".2%")]
    return lines


def _spread(title: str, metrics: dict[str, float], metric: str, form: str) -> str:
    names = ("median", "iqm", "iqm_lower", "iqm_upper", "iqr")
    median, mean, lower, upper, width = (format(metrics[f"validation_{metric}_{name}"], form) for name in names)
    return f"{title:24}{median:>14}{mean:>20}{f'[{lower}, {upper}]':>22}{width:>16}"


def test_span() -> list[str]:
    """The chosen agent and the baselines on the test span."""
    report = BacktestReport.from_dict(read_json(paths.BACKTEST))
    lines = [_head(f"Test {report.span.start.date()} to {report.span.end.date()}")]
    for name, metrics in report.metrics.items():
        lines.append(_row(f"{AGENT} ({report.agent})" if name == AGENT else name, metrics))
    if excess := report.excess.get(BEST_MEMBER):
        best = max(report.validation_rewards, key=lambda name: report.validation_rewards[name])
        mean, lower, upper = (10_000 * value for value in (excess.mean, excess.lower, excess.upper))
        lines.append(
            f"The ensemble earns {mean:.2f} bps per bar more than its best member, {best}: [{lower:.2f}, {upper:.2f}]."
        )
    draws = report.random_total_returns
    lines.append(f"{'random timing, median':24}{statistics.median(draws):>14.2%}")
    lines.append(
        f"The agent's trades earn more than {report.random_rank:.0%} of {len(draws)} draws of the same trades at "
        "random times."
    )
    return lines


def walk_forward() -> list[str]:
    """The policies over all windows together, if there are several, and the agent in each window."""
    report = read_json(paths.WALK_FORWARD_REPORT)
    windows = report["windows"]
    spans = [[window[bound][:10] for bound in ("start", "end")] for window in windows]
    lines = []
    if len(windows) > 1:
        lines += [_head(f"{spans[0][0]} to {spans[-1][1]}")]
        lines += [_row(name, metrics) for name, metrics in report["joined"].items()] + [""]
    lines += [_head("Agent by window")]
    for (start, end), window in zip(spans, windows, strict=True):
        seed = "" if window["seed"] is None else f" seed {window['seed']}"
        chosen = f"{window['agent']}{seed}, trained from {window['train']['start'][:10]}"
        lines.append(f"{_row(f'{start} to {end}', window['metrics'][AGENT])}  {chosen}")
    return lines


def _gain(gain: dict[str, Any]) -> str:
    if gain["lower"] is None:
        return f"{gain['gain']:>12.4f} [too few bars]".rjust(30)
    return f"{gain['gain']:>12.4f} [{gain['lower']:.4f}, {gain['upper']:.4f}]".rjust(30)


def _head(title: str) -> str:
    return f"{title:24}" + "".join(f"{column.replace('_', ' '):>14}" for column in COLUMNS)


def _row(name: str, metrics: dict[str, Any]) -> str:
    percent = ("total_return", "max_drawdown", "exposure")
    return f"{name:24}" + "".join(f"{metrics[c]:>14.2%}" if c in percent else f"{metrics[c]:>14.2f}" for c in COLUMNS)
