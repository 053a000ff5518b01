"""A connection to the MLflow store; a local one is created on first use."""

import logging
import os
from contextlib import suppress
from pathlib import Path

# Disable MLflow's usage reports and its log of schema migrations; both must be set before it is imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from MLOps.artifacts import PARTIAL
from MLOps.config.tracking import TrackingConfig
from MLOps.errors import UserError
from MLOps.experiment_tracking.address import SQLITE, refused, require_answer, store_uri, unreachable, without_password
from MLOps.experiment_tracking.retries import RetryingClient

# At the top of the page of runs.
DESCRIPTION = (
    "A run for each `dvc` command, with its stages below it. Useful columns: the tags `stage`, `variant`, "
    "`experiment`, `changed` and `commit`, and on the run of a command the headlines of reports/metrics.json."
)

REFUSED = (401, 403)  # status of an answer to a login that is wrong, or may not do what was asked

for _name in ("alembic", "mlflow"):
    logging.getLogger(_name).setLevel(logging.WARNING)
# It prints the trace of each error of the database that it raises; the exception says the same.
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def connect(config: TrackingConfig, suffix: str = "") -> tuple[MlflowClient, str]:
    """A client of the configured store and the experiment's id; sets the process's tracking URI, creates a local store.

    Args:
        suffix: of the experiment's name: "" for the runs of stages.

    Raises:
        UserError: the store does not respond or refuses the login, its folder is not writable, its file is not a
            complete store, or the experiment was deleted.
    """
    uri = store_uri(config)
    require_answer(uri)
    mlflow.set_tracking_uri(uri)
    try:
        if uri.startswith(SQLITE):
            _create_database(Path(uri.removeprefix(SQLITE)))
        client = RetryingClient()
        experiment_id = _experiment(client, f"{config.experiment}{suffix}", uri, "" if suffix else DESCRIPTION)
        if not suffix:
            mlflow.set_experiment(experiment_id=experiment_id)  # logged models go to the process's experiment
        return client, experiment_id
    except (MlflowException, OSError) as error:
        if isinstance(error, MlflowException) and error.get_http_status_code() in REFUSED:
            raise refused(uri) from None
        raise unreachable(uri, str(error)) from None
    except Exception as error:
        # SQLAlchemy's and alembic's errors have no common base class.
        if type(error).__module__.startswith(("sqlalchemy", "alembic")):
            raise unreachable(uri, str(error)) from None
        raise


def _experiment(client: MlflowClient, name: str, uri: str, description: str) -> str:
    """The id of the experiment of this name, which is created with the description if it is missing."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        # MLflow would keep them in the working directory, which may be a copy by DVC that does not last.
        beside = Path(uri.removeprefix(SQLITE)).absolute().parent / "mlruns" / name
        files = str(beside) if uri.startswith(SQLITE) else None
        try:
            tags = {MLFLOW_RUN_NOTE: description} if description else {}
            return str(client.create_experiment(name, artifact_location=files, tags=tags))
        except MlflowException as error:
            # Another process has created it meanwhile.
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        return _experiment(client, name, uri, description)
    if experiment.lifecycle_stage != "active":
        raise UserError(
            f"{without_password(uri)}: the MLflow experiment {name!r} was deleted; restore it with "
            f"`mlflow experiments restore --experiment-id {experiment.experiment_id}`, or set another "
            "tracking.experiment in params.yaml"
        )
    return str(experiment.experiment_id)


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
