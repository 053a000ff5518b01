"""The bundle as a registered version: `candidate` always, `champion` if the gate passes; and a complete store.

Runs at every `dvc repro`, for only the registry can say what is in the registry. What is there already is left alone.
"""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from MLOps.artifacts import content_hash, read_json, read_table, value_hash
from MLOps.config import Params, load_params
from MLOps.data.bars import KEYS
from MLOps.data.splits import Splits
from MLOps.errors import UserError
from MLOps.evaluation.gate import refusal_beside, refusals
from MLOps.evaluation.report import BacktestReport
from MLOps.experiment_tracking.record import Record
from MLOps.experiment_tracking.runs import Run, Runs
from MLOps.model_registry.bundle import build_bundle, verify_bundle
from MLOps.model_registry.versions import BUNDLE_TAG, CANDIDATE, CHAMPION, Registry
from MLOps.pipelines import paths
from MLOps.pipelines.declaration import Declaration
from MLOps.pipelines.stage import mistakes_told, new_record


def main() -> None:
    with mistakes_told("promote"), tempfile.TemporaryDirectory() as folder:
        params = load_params()
        runs = Runs(params.tracking)
        registry = Registry(runs.client, params.tracking.registered_model)
        restored = restore_runs(runs, params)
        if restored:
            print(f"runs written from records: {', '.join(restored)}")
        found = read_json(paths.BACKTEST)
        if "skipped" in found:
            print(f"promote: skipped: {found['skipped']}")
            return
        backtest = BacktestReport.from_dict(found)
        bundle = Path(folder) / "bundle"
        identity = build_bundle(bundle, parts(backtest.agent), facts(params, backtest))
        version = whole_version(registry, identity)
        changed = version is None
        if version is None:
            version = register(runs, registry, bundle, identity, params)
        changed |= registry.point(CANDIDATE, version)
        champion = registry.version_at(CHAMPION)
        if champion is not None and registry.tags(champion).get(BUNDLE_TAG) == identity:
            # The same bundle, of which this version is the whole copy.
            changed |= registry.point(CHAMPION, version)
        reasons = refusals(backtest, params.gate)
        if params.gate.beat_champion:
            reasons += refusals_beside_champion(registry, version, backtest, params)
        told = "; ".join(reasons) or "every line of the gate holds"
        tags = {"gate": "refused" if reasons else "passed", "gate_reasons": told, "agent": backtest.agent}
        changed |= registry.tag(version, tags)
        if not reasons:
            changed |= registry.point(CHAMPION, version)
        print(f"{registry.name} version {version}, bundle {identity[:12]}", end=": " if changed else ", nothing new: ")
        print(f"{CHAMPION} refused: {told}" if reasons else f"{CHAMPION}: {told}")


def stage_names(params: Params) -> list[str]:
    """The stages that leave a record, in order."""
    return [
        "ingest",
        "validate_data",
        "features",
        *(f"tune/{name}" for name in params.predictors),
        *(f"train_predictor/{name}" for name in params.predictors),
        "validate_predictors",
        *(f"train_agent/{name}" for name in params.agents),
        "backtest",
    ]


def restore_runs(runs: Runs, params: Params) -> list[str]:
    """Write the run of each stage whose result was taken from DVC's cache; the names of those written."""
    records = [Record.load(paths.RECORDS / name) for name in stage_names(params)]
    missing = [record for record in records if runs.find(record) is None]
    for record in missing:
        runs.restore(record, log_model_of)
    return [record.stage for record in missing]


def log_model_of(record: Record, run: Run) -> None:
    """Log the model that the record's stage trained, if it trains one."""
    # PyTorch takes a second to import, which a promotion of old news is spared.
    from MLOps.deployment.logged import log_agent, log_predictor

    stage, _, variant = record.stage.partition("/")
    if stage == "train_predictor":
        log_predictor(run, paths.PREDICTORS / variant, len(read_json(paths.FEATURE_PIPELINE)["names"]))
    elif stage == "train_agent" and not (paths.AGENTS / variant / "skipped.json").exists():
        log_agent(run, paths.AGENTS / variant)


def parts(agent: str) -> dict[str, Path]:
    """What goes into the bundle, by its name there."""
    members = read_json(paths.VERDICTS)["ensemble"]["members"]
    return {
        "feature_pipeline.json": paths.FEATURE_PIPELINE,
        "agent": paths.AGENTS / agent,
        **{f"predictors/{name}": paths.PREDICTORS / name for name in members},
    }


def facts(params: Params, backtest: BacktestReport) -> dict[str, Any]:
    """What a bundle says of itself: the rules it trades by, and where it comes from."""
    verdicts = read_json(paths.VERDICTS)
    return {
        "ensemble": verdicts["ensemble"],
        "trading": asdict(params.trading),
        "labels": asdict(params.labels),
        "splits": read_json(paths.SPLITS),
        "backtest": backtest.to_dict(),
        "predictors": verdicts["verdicts"],
        "records": {name: Record.load(paths.RECORDS / name).content_hash for name in stage_names(params)},
        "seed": params.seed,
    }


def whole_version(registry: Registry, identity: str) -> str | None:
    """The newest version with this bundle whose files are as they were registered."""
    for version in registry.versions_of(identity):
        try:
            verify_bundle(registry.bundle(version))
        except UserError as error:
            print(f"{error}; the bundle is registered anew")
        else:
            return version
    return None


def register(runs: Runs, registry: Registry, bundle: Path, identity: str, params: Params) -> str:
    """Log the serving model in a run of its own, and register it."""
    from MLOps.deployment.logged import log_serving_model
    from MLOps.deployment.trading_model import TradingModel

    record = new_record(Declaration.read("promote", "", params), params)
    run = runs.start(record)
    try:
        model = TradingModel.load(bundle)
        bars = read_table(paths.BARS)
        bars = bars.loc[bars["symbol"].isin(model.pipeline.universe), [*KEYS, *model.pipeline.inputs]]
        uri = log_serving_model(run, bundle, bars.groupby("symbol").tail(model.required_bars))
        run.finish(record)
    except Exception as error:
        run.fail(f"{type(error).__name__}: {error}")
        raise
    return registry.register(uri, identity)


def refusals_beside_champion(registry: Registry, version: str, backtest: BacktestReport, params: Params) -> list[str]:
    """Why the candidate may not take the reigning champion's place; nothing when it reigns itself, or nobody does."""
    champion = registry.version_at(CHAMPION)
    if champion is None or champion == version:
        return []
    try:
        sharpe = champion_sharpe(registry, champion, params)
    except UserError as error:
        return [
            f"the champion, version {champion}, cannot be traded over today's test span: {error}; "
            f"take the alias {CHAMPION} off it to let another follow"
        ]
    return refusal_beside(backtest, sharpe)


def champion_sharpe(registry: Registry, version: str, params: Params) -> float:
    """The Sharpe ratio of a version, traded over today's test span under today's rules.

    It is computed once and kept as a tag that names the bars, the span and the rules.

    Raises:
        UserError: the version cannot trade today's bars, or was trained on some of the span.
    """
    span = Splits.from_dict(read_json(paths.SPLITS)).test
    bars_per_year = read_json(paths.CLOCK)["bars_per_year"]
    measured_on = [content_hash(paths.BARS), str(span), asdict(params.trading), bars_per_year]
    tag = f"sharpe_on_{value_hash(measured_on)[:16]}"
    if (kept := registry.tags(version).get(tag)) is not None:
        return float(kept)
    from MLOps.deployment.trading_model import TradingModel
    from MLOps.evaluation.performance import performance

    bundle = registry.bundle(version)
    seen_until = pd.Timestamp(read_json(bundle / "facts.json")["splits"]["validation"]["end"])
    if seen_until > span.start:
        raise UserError(f"it was trained and chosen on bars up to {seen_until.date()}, the span begins before that")
    ledger = TradingModel.load(bundle).backtest(read_table(paths.BARS), span, params.trading)
    sharpe = performance(ledger, bars_per_year)["sharpe"]
    registry.tag(version, {tag: repr(sharpe)})
    return sharpe


if __name__ == "__main__":
    main()
