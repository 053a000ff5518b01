"""The model cards of versions, in Markdown (Mitchell et al., 2019, "Model Cards for Model Reporting")."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from MLOps.evaluation.report import AGENT
from MLOps.operations.predictor_promotion import predictor_tags

LONGEST = 5000  # characters of a description in MLflow's database
NAMES_SHOWN = 40  # symbols and features listed by name
METRICS = {
    "total_return": "{:.2%}",
    "cagr": "{:.2%}",
    "sharpe": "{:.2f}",
    "max_drawdown": "{:.2%}",
    "turnover": "{:.1f}",
}
SAID = ("verdict", "conclusion")  # tags of a predictor that its card has in its first sentence
SPANS = ("train", "validation", "test")
RULES = ("scheme", "account", "fill", "fee_bps", "slippage_bps", "borrow_bps_per_year", "allow_short", "max_position")

USE = """## Intended use
Research on whether the policy has skill, and decisions on paper. It sends no orders and is no investment advice.

## Limits
- The results are simulated: orders fill at the modelled price and do not move the market beyond the modelled costs.
- It was trained on these symbols at this bar spacing; what it does on others was not measured.
- A passed gate is evidence about the past. Markets change; compare its decisions with its results while it is used."""


PREDICTOR_USE = """## Intended use
Research on whether the features say anything about the labels, and signals for agents. It trades nothing.

## Limits
- It takes windows of raw features as the pipeline computes them, and knows the symbols and the spacing of its bars.
- A passed verdict is evidence about the validation span, at the confidence of `validation.confidence`."""


def model_card(metadata: Mapping[str, Any], features: Mapping[str, Any], decision: str, report: str) -> str:
    """The card of a bundle.

    Args:
        metadata: of the bundle.
        features: its feature pipeline, as JSON has it.
        decision: of the gate, in words.
        report: where the report page is: `report_link`.
    """
    results, splits, trading = metadata["backtest"], metadata["splits"], metadata["trading"]
    symbols = [entry["symbol"] for entry in features["universe"]]
    refitted = refit_in_words(metadata)
    parts = [
        "## Decision",
        f"{decision}.",
        *([] if refitted is None else [f"{refitted}."]),
        report,
        "## Data",
        f"{len(symbols)} symbols in the training span: {_listed(symbols)}. {_spans(splits)}",
        "## Model",
        f"Agent {results['agent']}, seed {metadata['seed']}; mean reward per bar on validation "
        + ", ".join(f"{name} {reward:.4g}" for name, reward in results["validation_rewards"].items())
        + ".",
        f"Features ({len(features['names'])}): {_listed(features['names'])}.",
        "Predictors: " + " ".join(f"{v['predictor']} {v['conclusion']}." for v in metadata["predictors"]),
        f"Members of the ensemble: {_listed(metadata['ensemble']['members']) or 'none'}.",
        "## Trading rules",
        ", ".join(f"{rule} {trading[rule]}" for rule in RULES) + ".",
        f"## Results, {_date(results['span']['start'])} to {_date(results['span']['end'])}",
        _table(results["metrics"]),
        f"The total return exceeds that of {results['random_rank']:.0%} of the same trades at random times.",
        USE,
    ]
    # What grows with the configuration stands before the standing text, which is kept.
    return _cut("\n\n".join(parts), USE)


def predictor_card(
    verdict: Mapping[str, Any],
    scores: Mapping[str, Any] | None,
    splits: Mapping[str, Any] | None,
    features: Sequence[str],
    classes: Sequence[str],
    report: str,
) -> str:
    """The card of a predictor.

    Args:
        verdict, scores: see `promote_predictor`.
        splits: the spans, as JSON has them; None where rows have no times.
        features: the columns of its windows, in order.
        classes: that its probabilities are of, in order.
        report: where the report page is: `report_link`.
    """
    figures = predictor_tags(verdict, scores)
    parts = [
        "## Verdict",
        f"{verdict['predictor']} {verdict['conclusion']}.",
        report,
        "## Model",
        f"Windows of {len(features)} features in, oldest bar first; out, the probabilities of {', '.join(classes)}.",
        *([] if splits is None else [_spans(splits)]),
        "## Figures",
        "\n".join(f"- {name.replace('_', ' ')}: {figure}" for name, figure in figures.items() if name not in SAID),
        f"Features: {_listed(features)}.",
        PREDICTOR_USE,
    ]
    return _cut("\n\n".join(parts), PREDICTOR_USE)


def report_link(link: str, run_id: str) -> str:
    """Where the report page is, as a link in MLflow's UI and as the artifact of a run."""
    return f"[Report page]({link}): the artifact report/index.html of the run {run_id}."


def _cut(card: str, standing: str) -> str:
    """A card that MLflow's database can hold; `standing` is the end of the card, and stays."""
    return card if len(card) <= LONGEST else f"{card[: LONGEST - len(standing) - 8]} …\n\n{standing}"


def refit_in_words(metadata: Mapping[str, Any]) -> str | None:
    """What a refit means for a bundle's results, from its metadata; None if its models are those that were judged."""
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


def _spans(splits: Mapping[str, Any]) -> str:
    given = [name for name in SPANS if name in splits]  # a refit has no test span
    spans = [f"{name} {_date(splits[name]['start'])} to {_date(splits[name]['end'])}" for name in given]
    return f"Spans: {'; '.join(spans)}."


def _date(timestamp: str) -> str:
    return timestamp[:10]
