"""The MLflow store: where it is, and whether it answers."""

import logging
import os
import re
from pathlib import Path

# MLflow reports its usage home and logs every schema migration unless told otherwise before it is imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

import mlflow
import requests
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from MLOps.config.params import TrackingConfig
from MLOps.errors import UserError

for _name in ("alembic", "mlflow"):
    logging.getLogger(_name).setLevel(logging.WARNING)

ANSWER_TIMEOUT_S = 5.0


def store_uri(config: TrackingConfig) -> str:
    """The tracking URI: MLFLOW_TRACKING_URI, or `tracking.uri` of params.yaml."""
    return os.environ.get("MLFLOW_TRACKING_URI") or config.uri


def connect(config: TrackingConfig) -> tuple[MlflowClient, str]:
    """A client of the configured store, made the process's default, and the experiment's id; a local one is created.

    Raises:
        UserError: the store does not answer, or its folder cannot be written.
    """
    uri = store_uri(config)
    _require_answer(uri)
    mlflow.set_tracking_uri(uri)
    try:
        client = MlflowClient()
        experiment_id: str = mlflow.set_experiment(config.experiment).experiment_id
    except (MlflowException, OSError) as error:
        raise _unreachable(uri, str(error)) from None
    except Exception as error:  # SQLAlchemy's errors have no common public base that is worth importing it for
        if type(error).__module__.startswith("sqlalchemy"):
            raise _unreachable(uri, str(error)) from None
        raise
    return client, experiment_id


def without_password(uri: str) -> str:
    """`uri` fit for a message: credentials are left out."""
    return re.sub(r"//[^/]*@", "//***@", uri)


def _require_answer(uri: str) -> None:
    """Find out in seconds what MLflow's own retries would take minutes over."""
    if uri.startswith("sqlite:///"):
        path = Path(uri.removeprefix("sqlite:///"))
        target = path if path.exists() else path.parent
        if not target.exists() or not os.access(target, os.W_OK):
            raise _unreachable(uri, f"{target.absolute()} is missing or not writable")
    elif uri.startswith(("http://", "https://")):
        try:
            # Whatever it says of /health is between it and its proxy: it answers.
            requests.get(f"{uri.rstrip('/')}/health", timeout=ANSWER_TIMEOUT_S)
        except (requests.RequestException, ValueError) as error:
            raise _unreachable(uri, f"{type(error).__name__} after at most {ANSWER_TIMEOUT_S:g} s") from None


def _unreachable(uri: str, reason: str) -> UserError:
    reason = " ".join(without_password(reason).split())[:200]
    return UserError(
        f"{without_password(uri)}: the MLflow store cannot be reached: {reason}; "
        "start it, or set tracking.uri in params.yaml or MLFLOW_TRACKING_URI"
    )


if __name__ == "__main__":
    from MLOps.config import load_params

    print(store_uri(load_params().tracking))
