"""The registered model that the commands speak of."""

from MLOps.config.params import load_params
from MLOps.experiment_tracking.store import connect
from MLOps.model_registry.versions import Registry


def bundle_versions() -> Registry:
    """The registered model of params.yaml, whose versions hold bundles."""
    tracking = load_params().tracking
    return Registry.of_bundles(connect(tracking)[0], tracking)
