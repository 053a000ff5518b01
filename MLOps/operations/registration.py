"""Registration of a bundle as a version of the registered model, once per bundle."""

from pathlib import Path

import pandas as pd

from MLOps.errors import UserError
from MLOps.experiment_tracking.record import Record
from MLOps.experiment_tracking.runs import Runs
from MLOps.model_registry.bundle import verify_bundle
from MLOps.model_registry.versions import Registry


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
    return registry.register(uri, identity)
