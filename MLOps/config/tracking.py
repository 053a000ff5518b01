"""The section `tracking:` of params.yaml."""

from MLOps.config.schema import section


@section
class TrackingConfig:
    """Where runs and models are kept; MLFLOW_TRACKING_URI overrides `uri`. `tensorboard` writes event files besides."""

    uri: str
    experiment: str
    registered_model: str
    tensorboard: bool = False
