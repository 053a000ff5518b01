"""What goes into the bundle, from what the stages left."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from MLOps.agents.ensemble import load_agent
from MLOps.artifacts import read_json
from MLOps.config.params import Params
from MLOps.evaluation.report import BacktestReport
from MLOps.experiment_tracking.record import Record
from MLOps.model_registry.bundle import build_bundle
from MLOps.pipelines import paths

REFIT = paths.REFIT / "refit.json"  # exists if the stage `refit` trained


def bundle_parts(params: Params, agent: str) -> dict[str, Path]:
    """By their names in the bundle: the agent, and the predictors that it or the ensemble needs."""
    if REFIT.exists():
        pipeline, folder = paths.REFIT / "feature_pipeline.json", paths.REFIT / "agent"
        predictors = paths.REFIT / "predictors"
    else:
        pipeline, predictors = paths.FEATURE_PIPELINE, paths.PREDICTORS
        folder = paths.AGENTS / agent if params.agent_ensemble.kind == "none" else paths.AGENT_ENSEMBLE
    members = read_json(paths.VERDICTS)["ensemble"]["members"]
    observed = load_agent(folder).view.predictors
    return {
        "feature_pipeline.json": pipeline,
        "agent": folder,
        **{f"predictors/{name}": predictors / name for name in (*members, *observed)},
    }


def bundle_metadata(params: Params, report: BacktestReport, records: Sequence[Record]) -> dict[str, Any]:
    """Trading rules, labels, splits, results and provenance; of a refit, what `refit_metadata` says instead."""
    verdicts = read_json(paths.VERDICTS)
    return {
        "ensemble": verdicts["ensemble"],
        "trading": asdict(params.trading),
        "labels": asdict(params.labels),
        "splits": read_json(paths.SPLITS),
        "backtest": report.to_dict(),
        "predictors": verdicts["verdicts"],
        "records": {record.stage: record.content_hash for record in records},
        "seed": params.seed,
        **refit_metadata(),
    }


def write_reference(folder: Path, params: Params, parts: dict[str, Path], metadata: dict[str, Any]) -> Path:
    """Write what monitoring compares newer bars with, made by the model of `parts`; the folder below `folder` that is a
    part of the bundle too."""
    import pandas as pd
    from threadpoolctl import threadpool_limits

    from MLOps.artifacts import read_table
    from MLOps.data.splits import LearningSplits
    from MLOps.deployment.trading_model import TradingModel
    from MLOps.evaluation.evidence import Evidence
    from MLOps.evaluation.report import AGENT
    from MLOps.monitoring.reference import REFERENCE
    from MLOps.operations.model_panels import make_reference
    from MLOps.training.determinism import seed_torch

    # The reference is a part of the bundle's identity, and the order in which BLAS adds depends on its threads.
    threadpool_limits(params.threads)
    seed_torch(params.seed, params.threads)
    build_bundle(folder / "model", parts, metadata)
    spans = {name: span for name, span in metadata["splits"].items() if name != "test"}
    bars_per_year = read_json(paths.CLOCK)["bars_per_year"]
    evidence = Evidence.read(paths.WALK_FORWARD, bars_per_year)
    reference = make_reference(
        TradingModel.load(folder / "model"),
        read_table(paths.BARS),
        LearningSplits.from_dict(spans),
        params.labels,
        pd.Series(evidence.returns[AGENT], pd.DatetimeIndex(evidence.timestamps)),
        bars_per_year,
    )
    reference.save(folder / REFERENCE)
    return folder / REFERENCE


def refit_metadata() -> dict[str, Any]:
    """Of a refit, its ensemble, its splits, which have no test span, and under `refit` those judged; else nothing."""
    if not REFIT.exists():
        return {}
    made = read_json(REFIT)
    ensemble, splits = made.pop("ensemble"), made.pop("splits")
    return {"ensemble": ensemble, "splits": splits, "refit": {**made, "judged_splits": read_json(paths.SPLITS)}}
