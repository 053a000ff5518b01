"""Where the MLflow store is, and whether it answers; nothing here imports MLflow."""

import os
import re
from pathlib import Path

from MLOps.config.tracking import TrackingConfig
from MLOps.errors import UserError, one_line
from MLOps.experiment_tracking.dvc_experiment import workspace

ANSWER_TIMEOUT_S = 5.0
SQLITE = "sqlite:///"


def store_uri(config: TrackingConfig) -> str:
    """The tracking URI: MLFLOW_TRACKING_URI, or `tracking.uri` of params.yaml.

    The relative path of a local database starts at the workspace, in the copies too that DVC makes of it.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or config.uri
    if uri.startswith(SQLITE) and workspace() != Path():
        return f"{SQLITE}{workspace() / uri.removeprefix(SQLITE)}"
    return uri


def studies_url(config: TrackingConfig) -> str | None:
    """The database of searches: OPTUNA_STORAGE, or `tracking.studies` of params.yaml; None if each has its own file."""
    return os.environ.get("OPTUNA_STORAGE") or config.studies


def without_password(text: str) -> str:
    """An address, or a text with one, fit for a message: credentials are left out."""
    # Of several @, the last one ends them: who did not quote a password has not quoted its / and @ either.
    return re.sub(r"\b(password=)[^&\s]+", r"\1***", re.sub(r"://[^/\s]\S*@", "://***@", text))


def require_answer(uri: str) -> None:
    """Check within seconds that the store answers; MLflow's own retries take minutes.

    Raises:
        UserError: a server does not answer, or a file or its folder is missing or not writable; or the address of a
            server holds credentials.
    """
    if uri.startswith(SQLITE):
        path = Path(uri.removeprefix(SQLITE))
        target = path if path.exists() else path.parent
        if not target.exists() or not os.access(target, os.W_OK):
            raise unreachable(uri, f"{target.absolute()} is missing or not writable")
    elif uri.startswith(("http://", "https://")):
        if "@" in uri:
            raise UserError(
                f"{without_password(uri)}: expected an address without credentials, which MLflow prints; set "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead"
            )
        import requests  # a tenth of a second, which a local store is spared

        try:
            # Any answer will do: what a proxy says of /health is not of interest here.
            requests.get(f"{uri.rstrip('/')}/health", timeout=ANSWER_TIMEOUT_S)
        except (requests.RequestException, ValueError) as error:
            raise unreachable(uri, f"{type(error).__name__} after at most {ANSWER_TIMEOUT_S:g} s") from None


def refused(uri: str) -> UserError:
    """The error for a server that asks for another login."""
    return UserError(
        f"{without_password(uri)}: the MLflow store refuses the login; set MLFLOW_TRACKING_USERNAME and "
        "MLFLOW_TRACKING_PASSWORD to those of a user there"
    )


def unreachable(uri: str, reason: str) -> UserError:
    """The error for a store that cannot be used, with what to do about it."""
    reason = one_line(without_password(reason))
    fix = "check the disk, restore the file or move it away" if uri.startswith(SQLITE) else "start the server"
    return UserError(
        f"{without_password(uri)}: the MLflow store cannot be reached: {reason}; "
        f"{fix}, or set tracking.uri in params.yaml or MLFLOW_TRACKING_URI"
    )


if __name__ == "__main__":
    from MLOps.config.params import load_params

    print(store_uri(load_params().tracking))
