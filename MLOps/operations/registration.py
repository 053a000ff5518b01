"""Registration of bundles and predictors as versions of registered models, once per content."""

from pathlib import Path

import pandas as pd

from MLOps.artifacts import content_hash
from MLOps.errors import UserError
from MLOps.experiment_tracking.record import Record
from MLOps.experiment_tracking.runs import Runs
from MLOps.model_registry.versions import ARTIFACTS, Registry, model_files
from MLOps.operations.restoration import log_saved_predictor


def whole_version(registry: Registry, identity: str) -> str | None:
    """The oldest version with this content whose files are as they were registered."""
    harmed = []
    for version in registry.versions_of(identity):
        try:
            registry.files(version)
        except UserError as error:
            harmed.append(str(error))
        else:
            return version
    for reason in harmed:
        print(f"{reason}; it is registered anew")
    return None


def register(runs: Runs, registry: Registry, record: Record, bundle: Path, identity: str, bars: pd.DataFrame) -> str:
    """Log the serving model in a run of its own, and register it.

    Args:
        record: of the run to begin.
        bars: the newest of them become the example of a request.

    Returns:
        The version.
    """
    # PyTorch takes a second to import, which a promotion without a new bundle is spared.
    from MLOps.deployment.serving_logging import log_serving_model
    from MLOps.deployment.trading_model import TradingModel

    run = runs.start(record)
    try:
        model = TradingModel.load(bundle)
        uri = log_serving_model(run, bundle, model, model.example_request(bars))
        run.finish(record)
    except BaseException as error:
        run.fail(error)
        raise
    version = registry.register(uri, identity)
    if registry.run_of(version) != run.run_id:
        run.discard()  # another process was first
    return version


def register_predictor(
    runs: Runs, registry: Registry, record: Record, folder: Path, n_features: int
) -> tuple[str, bool]:
    """The version that holds the predictor saved in `folder`; registered if there is none.

    A version is the model that the training logged. Where that is lost or altered, it is logged again, in a run that is
    restored from the record.

    Args:
        record: of the predictor's training, which has a run.

    Returns:
        The version, and whether it is new.
    """
    identity = content_hash(folder)
    if (version := whole_version(registry, identity)) is not None:
        return version, False
    uri = runs.model_of(record)
    # The files of a version that is not whole are those of the logged model.
    if uri is None or registry.versions_of(identity) or not _holds(uri, folder.name, identity):
        runs.restore(record, lambda _, run: log_saved_predictor(run, folder, n_features))
        uri = runs.model_of(record)
        assert uri is not None
    return registry.register(uri, identity), True


def _holds(uri: str, name: str, identity: str) -> bool:
    """Whether a logged model has the data of this identity in its folder `name`."""
    try:
        return content_hash(model_files(uri, uri) / ARTIFACTS / name) == identity
    except UserError:
        return False
