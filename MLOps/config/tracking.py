"""The section `tracking:` of params.yaml."""

from MLOps.config.schema import section


@section
class TrackingConfig:
    """The MLflow store; MLFLOW_TRACKING_URI overrides `uri`. `tensorboard` writes event files in addition."""

    uri: str
    experiment: str
    registered_model: str
    tensorboard: bool = False
