"""Predictors and bundle as registered versions: `candidate` always, `champion` if verdict or gate passes; the page.

Runs at every `dvc repro`, because DVC does not track the registry. What is registered already is left unchanged. In an
experiment (`dvc exp run`) nothing is registered and no alias moves; its returns count as a trial all the same.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from MLOps.artifacts import content_hash, read_json, read_table, value_hash, write_json
from MLOps.config.params import Params, load_params
from MLOps.experiment_tracking.address import store_uri
from MLOps.experiment_tracking.dvc_experiment import experiment_name
from MLOps.experiment_tracking.record import check_unchanged, hashes
from MLOps.imports import ROOT, code_hash
from MLOps.operations.last_promotion import recall, remember
from MLOps.pipelines import headlines, paths
from MLOps.pipelines.declaration import Declaration, stage_names
from MLOps.pipelines.failures import exit_with_sentence

if TYPE_CHECKING:
    from MLOps.experiment_tracking.record import Record
    from MLOps.experiment_tracking.runs import Runs
    from MLOps.experiment_tracking.trials import Trial
    from MLOps.model_registry.versions import Registry

MEMORY = Path(".cache/last_promotion.json")
TEMPLATES = Path("MLOps/reporting/templates")


def main() -> None:
    with exit_with_sentence("promote"):
        params = load_params()
        declared = Declaration.read("promote", "")
        check_unchanged(found := hashes(declared.inputs(params)), paths.RECORDS)
        if params.data.source != "labelled":
            write_json(paths.HEADLINES, {**read_json(paths.HEADLINES), **headlines.of_test()})
        inputs, store = inputs_hash(params, declared, found), store_uri(params.tracking)
        outcome = recall(MEMORY, inputs, store) if paths.PAGE.exists() else None
        changed = False
        if outcome is None:
            outcome, changed, folders = complete_and_promote(params)
            remember(MEMORY, inputs, store, folders, outcome)
        print(outcome if changed or experiment_name() else f"{outcome} (nothing new)")


def inputs_hash(params: Params, declared: Declaration, files: Mapping[str, str]) -> str:
    """A hash of all that a promotion reads, the store excepted: parameters, code, and `files` by their hashes."""
    # Templates are no Python, so the hash of the code leaves them out.
    code = [code_hash("MLOps.pipelines.promote"), content_hash(ROOT / TEMPLATES)]
    return value_hash([declared.values(params), dict(files), code, experiment_name()])


def complete_and_promote(params: Params) -> tuple[str, bool, list[Path]]:
    """Write the runs that the store lacks, register predictors and bundle, decide, and write the page.

    Returns:
        The outcome, whether the registry changed, and the folders of registered files that were checked.
    """
    # MLflow and pandas take seconds to import, and are not needed if nothing has changed.
    from MLOps.experiment_tracking.runs import Runs
    from MLOps.experiment_tracking.trials import Trials
    from MLOps.operations.model_card import refit_in_words, report_link
    from MLOps.operations.restoration import restore_runs
    from MLOps.pipelines.bundle_contents import refit_metadata
    from MLOps.pipelines.candidate_trial import candidate_trial
    from MLOps.reporting.page import write_page

    runs, records = Runs(params.tracking), load_records(params)
    n_features = len(read_json(paths.FEATURE_PIPELINE)["names"])
    if restored := restore_runs(runs, records, paths.PREDICTORS, paths.AGENTS, n_features):
        print(f"runs written from records: {', '.join(restored)}")

    def page() -> Path:
        # The last of these two looked at the test span; a labelled table has the first alone.
        *_, opened = (record for record in records if record.stage in ("backtest", "walk_forward"))
        commit, refitted = runs.first_commit(opened), refit_in_words(refit_metadata())
        return write_page(paths.PAGE.parent, paths.SPLITS.parent, records, commit, refitted)

    has_agent = params.data.source != "labelled"
    if has_agent:
        trials, own = Trials(params.tracking), candidate_trial()
        trials.record(own)
        runs.show_on_parent(read_json(paths.HEADLINES))
    else:
        for of_agent in (paths.VERDICT, paths.TRIALS):  # left by an earlier run on prices
            of_agent.unlink(missing_ok=True)
    if (name := experiment_name()) is not None:
        if not has_agent:
            page()
        return f"promote: experiment {name}: not registered; `dvc exp apply {name}` and `dvc repro` do so", False, []
    standing = promote_predictors(params, runs, records)
    if has_agent:
        standing.append(promote_agent(params, runs, records, trials.all(), own))
    # With the run that registered the bundle, else with that of the last stage, which the store has by now.
    shown_with = standing[-1].registry.run_of(standing[-1].version) if has_agent else runs.find(records[-1])
    assert shown_with is not None
    report = report_link(runs.log_file(shown_with, page(), "report"), shown_with)
    described = [one.registry.describe(one.version, one.card(report)) for one in standing]
    changed = any([*described, *(one.changed for one in standing)])
    outcomes = [one.outcome for one in standing]
    if not has_agent:
        outcomes.append("no agent: a labelled table has no prices to trade")
    return "\n".join(outcomes), changed, [one.registry.files(one.version) for one in standing]


@dataclass(frozen=True)
class Standing:
    """A version in the registry, and what was decided on it.

    Attributes:
        outcome: in one line.
        changed: whether the registry changed.
        card: the description of the version, given where the report page is.
    """

    registry: "Registry"
    version: str
    outcome: str
    changed: bool
    card: Callable[[str], str]


def promote_predictors(params: Params, runs: "Runs", records: "Sequence[Record]") -> list[Standing]:
    """Register each trained predictor, with its verdict."""
    from MLOps.config.labels import class_names
    from MLOps.model_registry.versions import Registry
    from MLOps.operations.model_card import predictor_card
    from MLOps.operations.predictor_promotion import promote_predictor
    from MLOps.operations.registration import register_predictor

    trainings = {record.stage: record for record in records}
    verdicts = {verdict["predictor"]: verdict for verdict in read_json(paths.VERDICTS)["verdicts"]}
    scored = read_json(paths.PREDICTOR_SCORES)["predictors"]
    features = read_json(paths.FEATURE_PIPELINE)["names"]
    splits = None if params.data.source == "labelled" else read_json(paths.SPLITS)
    standing = []
    for name in params.predictors:
        registry = Registry.of_predictor(runs.client, params.tracking, name)
        training, folder = trainings[f"train_predictor/{name}"], paths.PREDICTORS / name
        version, is_new = register_predictor(runs, registry, training, folder, len(features))
        verdict, scores = verdicts[name], scored.get(name, {}).get("scores")
        changed = promote_predictor(registry, version, verdict, scores) or is_new
        outcome = f"{registry.name} version {version}: {verdict['conclusion']}"
        card = partial(predictor_card, verdict, scores, splits, features, class_names(params.labels))
        standing.append(Standing(registry, version, outcome, changed, card))
    return standing


def promote_agent(
    params: Params, runs: "Runs", records: "Sequence[Record]", trials: "Sequence[Trial]", own: "Trial"
) -> Standing:
    """Register the bundle, ask the gate, and write its verdict and the trials that it counted.

    Args:
        trials: all that were recorded, `own` among them, which is that of the bundle.
    """
    import pandas as pd

    from MLOps.data.splits import Splits
    from MLOps.evaluation.report import BacktestReport
    from MLOps.evaluation.trial_list import trial_list
    from MLOps.model_registry.bundle import build_bundle
    from MLOps.model_registry.versions import Registry
    from MLOps.monitoring.reference import REFERENCE
    from MLOps.operations.champion import champion_returns
    from MLOps.operations.model_card import model_card, refit_in_words
    from MLOps.operations.promotion import promote
    from MLOps.operations.registration import register, whole_version
    from MLOps.pipelines.bundle_contents import bundle_metadata, bundle_parts, write_reference
    from MLOps.pipelines.gate_case import gate_case
    from MLOps.pipelines.stage import new_record

    report = BacktestReport.from_dict(read_json(paths.BACKTEST))
    registry = Registry.of_bundles(runs.client, params.tracking)
    metadata = bundle_metadata(params, report, records)
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        parts = bundle_parts(params, report.agent)
        parts[REFERENCE] = write_reference(Path(folder), params, parts, metadata)
        identity = build_bundle(bundle, parts, metadata)
        version = whole_version(registry, identity)
        is_new = version is None
        if version is None:
            record = new_record(Declaration.read("promote", ""), params, {})
            version = register(runs, registry, record, bundle, identity, read_table(paths.BARS))

    def returns_of(champion: str) -> pd.Series:
        test = Splits.from_dict(read_json(paths.SPLITS)).test
        return champion_returns(registry, champion, paths.BARS, test, params.trading)

    case = gate_case(params, trials)
    decision = promote(registry, version, report.agent, case, params.gate, returns_of)
    outcome = f"{registry.name} version {version}, bundle {identity[:12]}: {decision.words}"
    checks = [asdict(result) for result in decision.results]
    verdict = {"promoted": decision.promoted, "checks": checks, "trials": case.trials.shape[1], "version": version}
    write_json(paths.VERDICT, {**verdict, "words": decision.words})
    write_json(paths.TRIALS, trial_list(case, [trial.candidate for trial in trials], own.candidate))
    changed = is_new or decision.changed
    pipeline = paths.FEATURE_PIPELINE
    if (refitted := refit_in_words(metadata)) is not None:
        changed |= registry.tag(version, {"refit": refitted})
        pipeline = paths.REFIT / "feature_pipeline.json"
    card = partial(model_card, metadata, read_json(pipeline), decision.words)
    return Standing(registry, version, outcome, changed, card)


def load_records(params: Params) -> "list[Record]":
    """The records of the stages that computed something, in the order of dvc.yaml."""
    from MLOps.experiment_tracking.record import RECORD, Record

    folders = [paths.RECORDS / name / variant for name, variant in stage_names(params)]
    return [Record.load(folder) for folder in folders if (folder / RECORD).exists()]


if __name__ == "__main__":
    main()
