"""The section `tracking:` of params.yaml."""

from MLOps.config.schema import section
from MLOps.config.types import Text


@section
class TrackingConfig:
    """The MLflow store, and the database of searches.

    Attributes:
        uri: of the store: sqlite:///FILE, or the address of a server; the variable MLFLOW_TRACKING_URI overrides it.
        experiment: name of the MLflow experiment of the runs.
        registered_model: name of the model whose versions are the bundles.
        registered_predictor: beginning of the names of registered predictors, to which `-NAME` is appended.
        studies: the database of Optuna's studies: sqlite:///FILE, or postgresql://HOST/NAME; null keeps a file for each
            search in .cache/search. The variable OPTUNA_STORAGE overrides it.
        tensorboard: whether event files are written too, to .cache/tensorboard.
    """

    uri: Text
    experiment: Text
    registered_model: Text
    registered_predictor: Text = "trading-predictor"
    studies: Text | None = None
    tensorboard: bool = False
