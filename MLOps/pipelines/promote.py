"""The bundle as a registered version: `candidate` always, `champion` if the gate passes; and a complete store.

Runs at every `dvc repro`, for only the registry can say what is in the registry. What is there already is left alone.
"""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from MLOps.artifacts import read_json, read_table
from MLOps.config import Params, load_params
from MLOps.data.splits import Splits
from MLOps.evaluation.gate import refusals
from MLOps.experiment_tracking.record import Record
from MLOps.experiment_tracking.runs import Runs
from MLOps.model_registry.bundle import build_bundle
from MLOps.model_registry.versions import CANDIDATE, CHAMPION, Registry
from MLOps.pipelines import paths
from MLOps.pipelines.stage import mistakes_told, new_record


def main() -> None:
    with mistakes_told("promote"), tempfile.TemporaryDirectory() as folder:
        params = load_params()
        runs = Runs(params.tracking)
        registry = Registry(runs.client, params.tracking.registered_model)
        restored = restore_runs(runs, params)
        backtest = read_json(paths.BACKTEST)
        bundle = Path(folder) / "bundle"
        identity = build_bundle(bundle, parts(backtest["agent"]), facts(params, backtest))
        version = registry.version_of(identity)
        changed = version is None
        if version is None:
            version = register(runs, registry, bundle, identity)
        champion = registry.version_at(CHAMPION)
        rival = champion if champion != version else None
        rival_sharpe = None if rival is None else champion_sharpe(registry, rival, params)
        reasons = refusals(backtest, rival_sharpe, params.gate)
        changed |= registry.tag(
            version,
            {
                "gate": "refused" if reasons else "passed",
                "gate_reasons": "; ".join(reasons) or "every line of the gate holds",
                "agent": backtest["agent"],
            },
        )
        changed |= registry.point(CANDIDATE, version)
        if not reasons:
            changed |= registry.point(CHAMPION, version)
        print(f"{registry.name} version {version}, bundle {identity[:12]}: {'' if changed else 'nothing to change; '}"
              + (f"{CHAMPION} refused: {'; '.join(reasons)}" if reasons else f"{CHAMPION}"))  # fmt: skip
        if restored:
            print(f"runs written from records: {', '.join(restored)}")


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
        runs.restore(record)
    return [record.stage for record in missing]


def parts(agent: str) -> dict[str, Path]:
    """What goes into the bundle, by its name there."""
    members = read_json(paths.VERDICTS)["ensemble"]["members"]
    return {
        "feature_pipeline.json": paths.FEATURE_PIPELINE,
        "agent": paths.AGENTS / agent,
        **{f"predictors/{name}": paths.PREDICTORS / name for name in members},
    }


def facts(params: Params, backtest: dict[str, Any]) -> dict[str, Any]:
    """What a bundle says of itself: the rules it trades by, and where it comes from."""
    verdicts = read_json(paths.VERDICTS)
    return {
        "ensemble": verdicts["ensemble"],
        "trading": asdict(params.trading),
        "labels": asdict(params.labels),
        "splits": read_json(paths.SPLITS),
        "backtest": {key: backtest[key] for key in ("agent", "figures", "random_rank", "advantage", "span")},
        "predictors": verdicts["verdicts"],
        "records": {name: Record.load(paths.RECORDS / name).content_hash for name in stage_names(params)},
        "seed": params.seed,
    }


def register(runs: Runs, registry: Registry, bundle: Path, identity: str) -> str:
    """Log the serving model in a run of its own, and register it."""
    # These import PyTorch, which a promotion of old news is spared.
    from MLOps.deployment.logged import log_serving_model
    from MLOps.deployment.trading_model import TradingModel

    record = new_record("promote")
    run = runs.start(record)
    model = TradingModel.load(bundle)
    bars = read_table(paths.BARS)
    bars = bars[bars["symbol"].isin(model.pipeline.universe)]
    uri = log_serving_model(run, bundle, bars.groupby("symbol").tail(model.required_bars))
    version = registry.register(uri, identity)
    run.finish(record)
    return version


def champion_sharpe(registry: Registry, version: str, params: Params) -> float:
    """The Sharpe ratio of the champion, traded over today's test span under today's rules."""
    from MLOps.deployment.trading_model import TradingModel
    from MLOps.evaluation.performance import performance

    span = Splits.from_dict(read_json(paths.SPLITS)).test
    champion = TradingModel.load(registry.bundle(version))
    ledger = champion.backtest(read_table(paths.BARS), span, params.trading)
    return performance(ledger, params.backtest.bars_per_year)["sharpe"]


if __name__ == "__main__":
    main()
