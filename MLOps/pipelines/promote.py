"""The bundle as a registered version: `candidate` always, `champion` if the gate passes; a whole store, and the page.

Runs at every `dvc repro`, because DVC does not track the registry. What is registered already is left unchanged. In an
experiment (`dvc exp run`) nothing is registered and no alias moves; its returns count as a trial all the same.
"""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from MLOps.artifacts import content_hash, read_json, read_table, value_hash, write_json
from MLOps.config.params import Params, load_params
from MLOps.experiment_tracking.address import store_uri
from MLOps.experiment_tracking.dvc_experiment import experiment_name
from MLOps.imports import ROOT, code_hash
from MLOps.operations.last_promotion import recall, remember
from MLOps.pipelines import headlines, paths
from MLOps.pipelines.declaration import Declaration, stage_names
from MLOps.pipelines.user_errors import exit_on_user_error

if TYPE_CHECKING:
    import pandas as pd

    from MLOps.evaluation.gate import Case
    from MLOps.evaluation.report import BacktestReport
    from MLOps.experiment_tracking.record import Record
    from MLOps.experiment_tracking.runs import Runs
    from MLOps.model_registry.versions import Registry
    from MLOps.operations.promotion import Decision

MEMORY = Path(".cache/last_promotion.json")
TEMPLATES = Path("MLOps/reporting/templates")


def main() -> None:
    with exit_on_user_error("promote"):
        params = load_params()
        if params.data.source != "labelled":
            write_json(paths.HEADLINES, {**read_json(paths.HEADLINES), **headlines.of_test()})
        inputs, store = inputs_hash(params), store_uri(params.tracking)
        outcome = recall(MEMORY, inputs, store) if paths.PAGE.exists() else None
        changed = False
        if outcome is None:
            outcome, changed, folders = complete_and_promote(params)
            remember(MEMORY, inputs, store, folders, outcome)
        print(outcome if changed or experiment_name() else f"{outcome} (nothing new)")


def inputs_hash(params: Params) -> str:
    """A hash of all that a promotion reads, the store excepted; records hold the hashes of models and data."""
    declared = Declaration.read("promote", "")
    read = [
        paths.BACKTEST.parent,
        paths.WALK_FORWARD,
        paths.VERDICTS,
        paths.REFIT,
        paths.SPLITS,
        paths.CLOCK,
        paths.FEATURE_PIPELINE,
        paths.RECORDS,
        ROOT / TEMPLATES,  # no Python, so the hash of the code leaves them out
    ]
    files = {str(path): content_hash(path) for path in read if path.exists()}
    return value_hash([declared.values(params), files, code_hash("MLOps.pipelines.promote"), experiment_name()])


def complete_and_promote(params: Params) -> tuple[str, bool, list[Path]]:
    """Write the runs that the store lacks, register the bundle, and decide.

    Returns:
        The outcome in one line, whether the registry changed, and the folders of registered files that were checked.
    """
    # MLflow and pandas take seconds to import, and are not needed if nothing has changed.
    from MLOps.data.splits import Splits
    from MLOps.evaluation.report import BacktestReport
    from MLOps.experiment_tracking.runs import Runs
    from MLOps.experiment_tracking.trials import Trials
    from MLOps.model_registry.bundle import build_bundle
    from MLOps.model_registry.versions import Registry
    from MLOps.operations.champion import champion_returns
    from MLOps.operations.promotion import promote
    from MLOps.operations.registration import register, whole_version
    from MLOps.operations.restoration import restore_runs
    from MLOps.pipelines.candidate_trial import candidate_trial
    from MLOps.pipelines.gate_case import gate_case
    from MLOps.pipelines.stage import new_record
    from MLOps.reporting.page import write_page

    runs, records = Runs(params.tracking), load_records(params)
    n_features = len(read_json(paths.FEATURE_PIPELINE)["names"])
    if restored := restore_runs(runs, records, paths.PREDICTORS, paths.AGENTS, n_features):
        print(f"runs written from records: {', '.join(restored)}")
    # The last of these two looked at the test span; a labelled table has the first alone.
    *_, opened = (record for record in records if record.stage in ("backtest", "walk_forward"))
    commit = runs.first_commit(opened)
    if params.data.source == "labelled":
        write_page(paths.PAGE.parent, paths.SPLITS.parent, records, commit)
        return "promote: nothing to do: a labelled table has no prices to trade", False, []
    trials = Trials(params.tracking)
    trials.record(candidate_trial())
    runs.show_on_parent(read_json(paths.HEADLINES))
    if (name := experiment_name()) is not None:
        return f"promote: experiment {name}: not registered; `dvc exp apply {name}` and `dvc repro` do so", False, []
    report = BacktestReport.from_dict(read_json(paths.BACKTEST))
    registry = Registry(runs.client, params.tracking.registered_model)
    metadata = bundle_metadata(params, report, records)
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        identity = build_bundle(bundle, bundle_parts(params, report.agent), metadata)
        version = whole_version(registry, identity)
        is_new = version is None
        if version is None:
            record = new_record(Declaration.read("promote", ""), params, {})
            version = register(runs, registry, record, bundle, identity, read_table(paths.BARS))

    def returns_of(champion: str) -> "pd.Series":
        test = Splits.from_dict(read_json(paths.SPLITS)).test
        return champion_returns(registry, champion, paths.BARS, test, params.trading)

    case = gate_case(params, trials.all())
    decision = promote(registry, version, identity, report.agent, case, params.gate, returns_of)
    outcome = f"{registry.name} version {version}, bundle {identity[:12]}: {decision.words}"
    write_verdict(decision, case, version)
    presented = present(runs, registry, version, decision.words, metadata, records, commit)
    changed = is_new or decision.changed or presented
    return outcome, changed, [registry.bundle(version).parents[1]]


def write_verdict(decision: "Decision", case: "Case", version: str) -> None:
    """Leave the decision on a version as a file."""
    checks = [asdict(result) for result in decision.results]
    verdict = {"promoted": decision.promoted, "checks": checks, "trials": case.trials.shape[1], "version": version}
    write_json(paths.VERDICT, {**verdict, "words": decision.words})


def present(
    runs: "Runs",
    registry: "Registry",
    version: str,
    words: str,
    metadata: dict[str, Any],
    records: "list[Record]",
    commit: str,
) -> bool:
    """Write the page and attach it to the version, describe the version, and mark it if it is a refit.

    Returns:
        Whether the registry changed.
    """
    from MLOps.operations.model_card import model_card, refit_in_words
    from MLOps.reporting.page import write_page

    refitted = refit_in_words(metadata)
    page = write_page(paths.PAGE.parent, paths.SPLITS.parent, records, commit, refitted)
    runs.log_file(registry.run_of(version), page, "report")
    pipeline = paths.FEATURE_PIPELINE if refitted is None else paths.REFIT / "feature_pipeline.json"
    changed = registry.describe(version, model_card(metadata, read_json(pipeline), words))
    if refitted is not None:
        changed |= registry.tag(version, {"refit": refitted})
    return changed


def load_records(params: Params) -> "list[Record]":
    """The records of the stages that computed something, in the order of dvc.yaml."""
    from MLOps.experiment_tracking.record import RECORD, Record

    folders = [paths.RECORDS / name / variant for name, variant in stage_names(params)]
    return [Record.load(folder) for folder in folders if (folder / RECORD).exists()]


def bundle_parts(params: Params, agent: str) -> dict[str, Path]:
    """What goes into the bundle, by its name there: the agent, and the predictors that it or the ensemble needs."""
    from MLOps.agents.ensemble import load_agent

    if params.walk_forward.refit:
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


def bundle_metadata(params: Params, report: "BacktestReport", records: "list[Record]") -> dict[str, Any]:
    """The bundle's metadata: trading rules, labels, splits, results and provenance.

    The splits of a refit have no test span; `refit` has those of the models that were judged.
    """
    verdicts = read_json(paths.VERDICTS)
    metadata = {
        "ensemble": verdicts["ensemble"],
        "trading": asdict(params.trading),
        "labels": asdict(params.labels),
        "splits": read_json(paths.SPLITS),
        "backtest": report.to_dict(),
        "predictors": verdicts["verdicts"],
        "records": {record.stage: record.content_hash for record in records},
        "seed": params.seed,
    }
    if params.walk_forward.refit:
        made = read_json(paths.REFIT / "refit.json")
        metadata |= {"ensemble": made.pop("ensemble"), "splits": made.pop("splits")}
        metadata["refit"] = {**made, "judged_splits": read_json(paths.SPLITS)}
    return metadata


if __name__ == "__main__":
    main()
