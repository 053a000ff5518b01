"""The model card of a version, in Markdown (Mitchell et al., 2019, "Model Cards for Model Reporting")."""

from collections.abc import Iterable, Mapping
from typing import Any

from MLOps.evaluation.report import AGENT

LONGEST = 5000  # characters of a description in MLflow's database
NAMES_SHOWN = 40  # symbols and features listed by name
METRICS = {
    "total_return": "{:.2%}",
    "cagr": "{:.2%}",
    "sharpe": "{:.2f}",
    "max_drawdown": "{:.2%}",
    "turnover": "{:.1f}",
}
SPANS = ("train", "validation", "test")
RULES = ("scheme", "account", "fill", "fee_bps", "slippage_bps", "borrow_bps_per_year", "allow_short", "max_position")

USE = """## Intended use
Research on whether the policy has skill, and decisions on paper. It sends no orders and is no investment advice.

## Limits
- The results are simulated: orders fill at the modelled price and do not move the market beyond the modelled costs.
- It knows these symbols at this bar spacing; what it does on others was not measured.
- A passed gate is evidence about the past. Markets change; compare its decisions with its results while it is used."""


def model_card(metadata: Mapping[str, Any], features: Mapping[str, Any], decision: str) -> str:
    """The card of a bundle.

    Args:
        metadata: of the bundle.
        features: its feature pipeline, as JSON has it.
        decision: of the gate, in words.
    """
    report, splits, trading = metadata["backtest"], metadata["splits"], metadata["trading"]
    symbols = [entry["symbol"] for entry in features["universe"]]
    spans = [
        f"{name} {_date(splits[name]['start'])} to {_date(splits[name]['end'])}" for name in SPANS if name in splits
    ]
    refitted = refit_in_words(metadata)
    parts = [
        "## Decision",
        f"{decision}.",
        *([] if refitted is None else [f"{refitted}."]),
        "## Data",
        f"{len(symbols)} symbols: {_listed(symbols)}. Spans: {'; '.join(spans)}.",
        "## Model",
        f"Agent {report['agent']}, seed {metadata['seed']}; mean reward per bar on validation "
        + ", ".join(f"{name} {reward:.4g}" for name, reward in report["validation_rewards"].items())
        + ".",
        f"Features ({len(features['names'])}): {_listed(features['names'])}.",
        "Predictors: " + " ".join(f"{v['predictor']} {v['conclusion']}." for v in metadata["predictors"]),
        f"Members of the ensemble: {_listed(metadata['ensemble']['members']) or 'none'}.",
        "## Trading rules",
        ", ".join(f"{rule} {trading[rule]}" for rule in RULES) + ".",
        f"## Results, {_date(report['span']['start'])} to {_date(report['span']['end'])}",
        _table(report["metrics"]),
        f"The total return exceeds that of {report['random_rank']:.0%} of the same trades at random times.",
        USE,
    ]
    card = "\n\n".join(parts)
    # What grows with the configuration stands before the standing text, which is kept.
    return card if len(card) <= LONGEST else f"{card[: LONGEST - len(USE) - 8]} …\n\n{USE}"


def refit_in_words(metadata: Mapping[str, Any]) -> str | None:
    """What a refit means for the results of a bundle; None if its models are the ones that were judged."""
    if "refit" not in metadata:
        return None
    newest = _date(metadata["refit"]["trained_until"])
    judged = _date(metadata["refit"]["judged_splits"]["validation"]["end"])
    return (
        f"Refit on all bars until {newest}: the recipe was judged, by models trained and chosen on bars until "
        f"{judged}; these weights were not"
    )


def _table(metrics: Mapping[str, Mapping[str, float]]) -> str:
    lines = [
        f"| policy | {' | '.join(name.replace('_', ' ') for name in METRICS)} |",
        "|---" * (len(METRICS) + 1) + "|",
    ]
    for policy, values in metrics.items():
        shown = " | ".join(form.format(values[name]) for name, form in METRICS.items())
        lines.append(f"| {f'**{policy}**' if policy == AGENT else policy} | {shown} |")
    return "\n".join(lines)


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = [f"and {len(names) - NAMES_SHOWN} more"] if len(names) > NAMES_SHOWN else []
    return ", ".join([*names[:NAMES_SHOWN], *more])


def _date(timestamp: str) -> str:
    return timestamp[:10]
