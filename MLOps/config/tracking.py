"""The section `tracking:` of params.yaml."""

from MLOps.config.schema import section
from MLOps.config.types import Text


@section
class TrackingConfig:
    """The MLflow store; MLFLOW_TRACKING_URI overrides `uri`. `tensorboard` writes event files in addition."""

    uri: Text
    experiment: Text
    registered_model: Text
    tensorboard: bool = False
