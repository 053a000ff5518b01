"""Location of the MLflow store, connection to it, and a check that it responds."""

import logging
import os
import re
from contextlib import suppress
from pathlib import Path

# Disable MLflow's usage reports and its log of schema migrations; both must be set before it is imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

import mlflow
import requests
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from MLOps.artifacts import PARTIAL
from MLOps.config.tracking import TrackingConfig
from MLOps.errors import UserError

for _name in ("alembic", "mlflow"):
    logging.getLogger(_name).setLevel(logging.WARNING)

ANSWER_TIMEOUT_S = 5.0
SQLITE = "sqlite:///"


def store_uri(config: TrackingConfig) -> str:
    """The tracking URI: MLFLOW_TRACKING_URI, or `tracking.uri` of params.yaml."""
    return os.environ.get("MLFLOW_TRACKING_URI") or config.uri


def connect(config: TrackingConfig) -> tuple[MlflowClient, str]:
    """A client of the configured store and the experiment's id; sets the process's tracking URI, creates a local store.

    Raises:
        UserError: the store does not respond, its folder is not writable, or its file is not a complete store.
    """
    uri = store_uri(config)
    _require_answer(uri)
    mlflow.set_tracking_uri(uri)
    try:
        if uri.startswith(SQLITE):
            _create_database(Path(uri.removeprefix(SQLITE)))
        client = MlflowClient()
        experiment_id: str = mlflow.set_experiment(config.experiment).experiment_id
    except (MlflowException, OSError) as error:
        raise _unreachable(uri, str(error)) from None
    except Exception as error:
        # SQLAlchemy's and alembic's errors have no common base class.
        if type(error).__module__.startswith(("sqlalchemy", "alembic")):
            raise _unreachable(uri, str(error)) from None
        raise
    return client, experiment_id


def _create_database(path: Path) -> None:
    """Create MLflow's tables in a temporary file, then link it to `path`.

    MLflow creates its tables by about fifty migrations and cannot resume after an interruption.
    """
    if path.exists():
        return
    # Absolute, because MLflow caches connections by path, whatever the working directory.
    temporary = path.absolute().with_name(f"{PARTIAL}{os.getpid()}-{path.name}")
    temporary.unlink(missing_ok=True)
    try:
        MlflowClient(f"{SQLITE}{temporary}").search_experiments(max_results=1)
        # Unlike a rename, a link does not overwrite a file that another process has created meanwhile.
        with suppress(FileExistsError):
            path.hardlink_to(temporary)
    finally:
        for left in temporary.parent.glob(f"{temporary.name}*"):
            left.unlink()


def without_password(uri: str) -> str:
    """`uri` without credentials, for messages."""
    return re.sub(r"//[^/]*@", "//***@", uri)


def _require_answer(uri: str) -> None:
    """Fail within seconds if the store does not respond; MLflow's own retries take minutes."""
    if uri.startswith(SQLITE):
        path = Path(uri.removeprefix(SQLITE))
        target = path if path.exists() else path.parent
        if not target.exists() or not os.access(target, os.W_OK):
            raise _unreachable(uri, f"{target.absolute()} is missing or not writable")
    elif uri.startswith(("http://", "https://")):
        try:
            # Any HTTP status counts as a response; a proxy may not serve /health.
            requests.get(f"{uri.rstrip('/')}/health", timeout=ANSWER_TIMEOUT_S)
        except (requests.RequestException, ValueError) as error:
            raise _unreachable(uri, f"{type(error).__name__} after at most {ANSWER_TIMEOUT_S:g} s") from None


def _unreachable(uri: str, reason: str) -> UserError:
    reason = " ".join(without_password(reason).split())[:200]
    fix = "check the disk, restore the file or move it away" if uri.startswith(SQLITE) else "start the server"
    return UserError(
        f"{without_password(uri)}: the MLflow store cannot be reached: {reason}; "
        f"{fix}, or set tracking.uri in params.yaml or MLFLOW_TRACKING_URI"
    )


if __name__ == "__main__":
    from MLOps.config.params import load_params

    print(store_uri(load_params().tracking))
