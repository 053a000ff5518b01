"""The report page: one offline HTML file of what the stages left; the same inputs give the same bytes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from MLOps.artifacts import read_json, write_text
from MLOps.experiment_tracking.record import Record, flatten
from MLOps.reporting.charts import Line, line_chart
from MLOps.reporting.predictors import predictors
from MLOps.reporting.results import results, walk_forward
from MLOps.reporting.trials import trials

TEMPLATES = Path(__file__).parent / "templates"
PAGE = "index.html"
MISSING = "–"
# Parameters that the page shows of the stage `backtest`, by section.
SHOWN_PARAMS = ("trading", "backtest", "agent_ensemble")
SPREADS = {  # of an agent over its seeds: title and format
    "reward": ("reward per bar", ".4f"),
    "total_return": ("total return", ".2%"),
    "max_drawdown": ("largest drawdown", ".2%"),
    "turnover_per_bar": ("turnover per bar", ".4f"),
}


def write_page(reports: Path, data: Path, records: Sequence[Record], commit: str, refitted: str | None = None) -> Path:
    """Write the page into `reports`; a section whose files are missing says so.

    Args:
        data: the folder of processed data, for the clock and the splits.
        records: of the stages that params.yaml names, in order.
        commit: at which the results were first computed.
        refitted: what a refit means for the results; None if the judged models stand for promotion.

    Returns:
        The file.
    """
    clock = _read(data / "clock.json") or {}
    bars_per_year = clock.get("bars_per_year")
    own = results(reports / "backtest", bars_per_year) if bars_per_year else None
    params = {record.stage: record.params for record in records}
    read = params.get("ingest", {}).get("data", {})
    source = read.get("source", MISSING)
    context = {
        "title": f"{own['agent'] if own else 'Predictors'} on {origin(read)}",
        "source": source,
        "labelled": source == "labelled",
        "clock": clock,
        "splits": _read(data / "splits.json"),
        "refitted": refitted,
        "verdict": _read(reports / "verdict.json"),
        "results": own,
        "walk_forward": walk_forward(reports / "walk_forward"),
        "seeds": seeds(reports, list(own["validation_rewards"])) if own else [],
        "predictors": predictors(reports),
        "trials": trials(reports / "trials.json"),
        "quality": _read(reports / "quality.json"),
        "commit": commit,
        "environment": records[-1].environment if records else {},
        "records": [
            {"stage": record.stage, "content": record.content_hash, "params": record.params_hash} for record in records
        ],
        "inputs": inputs(records),
        "params": shown_params(params.get("backtest", {})),
    }
    text = environment().get_template("page.html").render(context)
    write_text(reports / PAGE, text)
    return reports / PAGE


def environment() -> Environment:
    """Jinja's, which escapes all text: a name from params.yaml or the data is never markup."""
    jinja = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.filters |= {"form": form, "day": day, "moment": moment, "words": words}
    return jinja


def origin(data: Mapping[str, Any]) -> str:
    """Where the bars come from: the name of a file or folder, or of another source."""
    source = data.get("source", MISSING)
    path = data.get(source, {}).get("path", "") if source in ("files", "csv", "labelled") else ""
    return Path(path).name or str(source)


def form(value: Any, specification: str) -> str:
    """A number in the given format; a dash where there is none. A true minus sign keeps columns even."""
    if value is None or pd.isna(value):
        return MISSING
    return format(value, specification).replace("-", "−")


def day(value: Any) -> str:
    return MISSING if value is None or pd.isna(value) else pd.Timestamp(value).strftime("%Y-%m-%d")


def moment(value: Any) -> str:
    """A time to the minute; a date where it is midnight, as of daily bars; a dash where there is none."""
    if value is None or pd.isna(value):
        return MISSING
    # A span ends just after its last bar.
    stamp = pd.Timestamp(value).floor("min")
    return stamp.strftime("%Y-%m-%d" if stamp == stamp.normalize() else "%Y-%m-%d %H:%M")


def words(name: Any) -> str:
    return str(name).replace("_", " ")


def seeds(reports: Path, agents: Sequence[str]) -> list[dict[str, Any]]:
    """Each agent's spread over its seeds on validation, and the reward of the chosen seed as it trained."""
    found = []
    for name in agents:
        metrics = _read(reports / "metrics" / "train_agent" / name / "metrics.json")
        if metrics is None:
            continue
        rows = [
            {
                "title": title,
                "form": shape,
                "chosen": metrics.get(f"selected_validation_{metric}"),
                **{
                    part: metrics.get(f"validation_{metric}_{part}")
                    for part in ("median", "iqm", "iqm_lower", "iqm_upper", "iqr")
                },
            }
            for metric, (title, shape) in SPREADS.items()
        ]
        history = reports / "history" / "train_agent" / name / "history.csv"
        one_seed = all(row["iqm_lower"] is None for row in rows)
        found.append({"name": name, "rows": rows, "one_seed": one_seed, "training": training_chart(history, name)})
    return found


def training_chart(history: Path, name: str) -> str:
    if not history.exists():
        return ""
    table = pd.read_csv(history)
    if "validation_reward" not in table:
        return ""
    known = table.dropna(subset="validation_reward")
    line = Line("validation reward", known["step"].to_numpy(float), known["validation_reward"].to_numpy(float))
    return line_chart([line], ".3f", f"Reward per bar on validation by training step, {name}", 200, level=0.0)


def inputs(records: Sequence[Record]) -> dict[str, str]:
    """Hashes of what came from outside: the files that stages read and no stage wrote."""
    made = {path for record in records for path in record.outputs}
    return {
        path: digest
        for record in records
        for path, digest in record.inputs.items()
        if path not in made and not path.startswith(("data/raw", "data/processed", "models/", "reports/"))
    }


def shown_params(params: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in flatten(params).items() if name.partition(".")[0] in SHOWN_PARAMS}


def _read(path: Path) -> Any:
    return read_json(path) if path.exists() else None
