"""Check params.yaml as a whole, and hash what each stage uses beside the data that dvc.yaml names.

A stage uses the code that it imports, the classes that params.yaml chooses by name, the sections of params.yaml that
it reads, the installed packages, and the files of the configured source. Their hashes are written to a file a stage,
on which dvc.yaml lets the stage depend.

It runs first, so it also deletes what killed processes left half-written.
"""

from collections.abc import Sequence
from pathlib import Path

from MLOps.agents.algorithms import ALGORITHMS
from MLOps.artifacts import PARTIAL, content_hash, delete_partial, write_json
from MLOps.config.agents import AgentConfig
from MLOps.config.agreement import check_params
from MLOps.config.params import SECTIONS, Params
from MLOps.config.predictors import NetworkConfig, PersistenceConfig
from MLOps.config.schema import suggest
from MLOps.data.sources import SENTIMENT_PATH, SOURCES, advice_on_missing, configured_files
from MLOps.errors import UserError
from MLOps.imports import ROOT, file_hash, imported_files
from MLOps.pipelines import paths
from MLOps.pipelines.declaration import Declaration, stage_names
from MLOps.pipelines.dvc_files import keep_lock
from MLOps.pipelines.failures import exit_with_sentence
from MLOps.predictors import predictor_modules
from MLOps.predictors.schedule import metric_names

PACKAGES = Path("requirements.txt")
WRITTEN = (Path("data"), Path("models"), Path("reports"), Path(".cache"))  # the folders that stages write into


def main() -> None:
    with exit_with_sentence("prepare"):
        keep_lock()
        delete_partial(Path().glob(f"{PARTIAL}*"))
        for folder in WRITTEN:
            delete_partial(folder.rglob(f"{PARTIAL}*"))
        params = check_params()
        check_metrics(params)
        check_features(params)
        check_files(params)
        for name, variant in stage_names(params):
            declared = Declaration.read(name, variant)
            code = {file.as_posix(): file_hash(ROOT / file) for file in sorted(used_code(declared, params))}
            data = {file.as_posix(): content_hash(file) for file in used_files(name, params)}
            uses = {"packages": file_hash(PACKAGES), "code": code, "data": data}
            write_json(paths.USES / f"{declared.stage}.json", uses)


def check_files(params: Params) -> None:
    """Check that the files exist that the configured source reads; DVC would only name the missing one.

    Raises:
        UserError: one is missing.
    """
    for key, path in configured_files(params.data).items():
        if not path.exists():
            raise UserError(f"{key}: {path}: no such file or folder; {advice_on_missing(key, path)}")


def check_metrics(params: Params) -> None:
    """Check that predictors log the metrics that decide their number of epochs and their searches.

    Raises:
        UserError: one does not.
    """
    search = params.search.predictors
    for name, config in params.predictors.items():
        known, asked = ["train_loss", "selection_loss"], {}
        if isinstance(config, NetworkConfig):
            known, asked = metric_names(config), {f"predictors.{name}.monitor": config.monitor}
        if search.trials and name in search.spaces:
            asked["search.predictors.metric"] = search.metric
        for key, metric in asked.items():
            if metric not in known:
                raise UserError(f"{key}: {name} logs no metric {metric!r}; {suggest(metric, known)}")


def check_features(params: Params) -> None:
    """Check that features.names gives the features that predictors, agents and the turbulence stop use.

    Raises:
        UserError: it lacks one.
    """
    if params.data.source == "labelled":
        return
    names = _feature_names(params)
    for key, name in _asked_features(params):
        if name not in names:
            raise UserError(f"{key}: expected features of features.names, found {name!r}; {suggest(name, names)}")
    trading = params.trading
    if trading.turbulence_stop is not None and trading.turbulence_feature not in names:
        raise UserError(
            f"trading.turbulence_stop: features.names lacks {trading.turbulence_feature}; add it, or set "
            "trading.turbulence_stop to null"
        )


def _asked_features(params: Params) -> list[tuple[str, str]]:
    """The features that predictors and agents name, each after its key."""
    asked = [
        (f"predictors.{predictor}.feature", config.feature)
        for predictor, config in params.predictors.items()
        if isinstance(config, PersistenceConfig)
    ]
    for agent, own in params.agents.items():
        asked += [(f"agents.{agent}.observe.features", name) for name in own.observe.features]
    return asked


def _feature_names(params: Params) -> Sequence[str]:
    """The features that features.names gives, as far as predictors, agents and rules may ask for them."""
    trading, listed = params.trading, params.features.names
    asked = {name for _, name in _asked_features(params)}
    if trading.turbulence_stop is not None:
        asked.add(trading.turbulence_feature)
    if asked <= set(listed):
        return listed
    # A family may hold the others. The catalogue takes a second to import, which a run without changes is spared.
    from MLOps.features.catalogue import chosen

    return chosen(listed)


def used_code(declared: Declaration, params: Params) -> set[Path]:
    """Files of the package that the stage may execute."""
    modules = [f"MLOps.pipelines.{declared.name}"]
    modules += [SECTIONS[key.partition(".")[0]] for key in declared.keys]
    if declared.name == "ingest":
        modules.append(SOURCES[params.data.source])
    elif declared.name in ("tune", "train_predictor"):
        modules += predictor_modules(params.predictors[declared.variant].kind)
    elif declared.name in ("tune_agent", "train_agent"):
        agent = params.agents[declared.variant]
        modules += [ALGORITHMS[agent.kind], *fine_tuned_modules(agent, params)]
    elif declared.name == "backtest":
        modules += [module for agent in params.agents.values() for module in fine_tuned_modules(agent, params)]
    elif declared.name in ("validate_predictors", "walk_forward", "refit"):
        modules += [module for config in params.predictors.values() for module in predictor_modules(config.kind)]
    if declared.name in ("walk_forward", "refit"):
        modules += [ALGORITHMS[config.kind] for config in params.agents.values()]
    return imported_files(*(module.partition(":")[0] for module in modules))


def fine_tuned_modules(agent: AgentConfig, params: Params) -> list[str]:
    """The modules of the network that an agent trains on, if it does."""
    name = agent.observe.fine_tuned
    return [] if name is None else predictor_modules(params.predictors[name].kind)


def used_files(stage: str, params: Params) -> list[Path]:
    """Files that params.yaml names and the stage reads."""
    if stage == "ingest":
        return [file for key, file in configured_files(params.data).items() if key != SENTIMENT_PATH]
    if stage in ("validate_data", "walk_forward") and params.data.sentiment.enabled:
        return [Path(params.data.sentiment.path)]
    return []


if __name__ == "__main__":
    main()
