"""The section `tracking:` of params.yaml."""

from MLOps.config.schema import section


@section
class TrackingConfig:
    """The MLflow store; MLFLOW_TRACKING_URI overrides `uri`. `tensorboard` writes event files in addition.

    The bundle is registered as `registered_model`, the predictor NAME as `registered_predictor`-NAME.
    """

    uri: str
    experiment: str
    registered_model: str
    registered_predictor: str = "trading-predictor"
    tensorboard: bool = False
