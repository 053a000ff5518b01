"""A team's tracking server: MLflow with a login, its tables in PostgreSQL, its artifacts in S3."""

import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import create_engine, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from MLOps.commands.servers import run_server
from MLOps.errors import UserError, one_line
from MLOps.experiment_tracking.address import without_password

DATABASE, ARTIFACTS = "MLFLOW_BACKEND_STORE_URI", "MLFLOW_ARTIFACTS_DESTINATION"
# MLflow and boto3 read these names too. Secrets come from the environment alone: a process list shows options.
VARIABLES = {
    DATABASE: "postgresql://USER:PASSWORD@HOST/DATABASE",
    ARTIFACTS: "s3://BUCKET/FOLDER",
    "AWS_ACCESS_KEY_ID": "the key of the bucket",
    "AWS_SECRET_ACCESS_KEY": "the secret key of the bucket",
    "MLFLOW_AUTH_ADMIN_PASSWORD": "the password of the user admin, whom the first start creates",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "a long random text, which signs forms",
}
PACKAGES = ("psycopg", "boto3", "flask_wtf")
ANSWER_TIMEOUT_S = 5
# MLflow reads its users' database from a file alone. Everyone with a login may do everything but manage users: the
# pipeline deletes the run or version that another machine has registered before it, for which MLflow asks MANAGE. A
# checked password counts for a minute: a model is hundreds of files, and each check costs a slow hash.
LOGIN = """[mlflow]
database_uri = {database}
admin_username = admin
default_permission = MANAGE
auth_cache_ttl_seconds = 60
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


def serve_team(host: str, port: int) -> int:
    """Run the server until it is ended; its exit status.

    Raises:
        UserError: a variable or package is missing, or the database or the bucket cannot be used.
    """
    if absent := [name for name in PACKAGES if find_spec(name) is None]:
        raise UserError(f"expected the package {absent[0]}, found none; `pip install -r requirements-team.txt`")
    if missing := [name for name in VARIABLES if not os.environ.get(name)]:
        name, *others = missing
        more = f", and {', '.join(others)}" if others else ""
        raise UserError(f"{name}: expected {VARIABLES[name]} in this environment variable, found none; set it{more}")
    database = _database(os.environ[DATABASE])
    _require_database(database)
    _require_bucket(os.environ[ARTIFACTS])
    # libpq takes the password from the environment, so that no file, option or message of MLflow has it.
    without = database._replace(password=None).render_as_string()
    with tempfile.TemporaryDirectory() as folder:
        login = Path(folder) / "login.ini"
        login.write_text(LOGIN.format(database=without.replace("%", "%%")))
        variables = {
            DATABASE: without,
            "PGPASSWORD": str(database.password or os.environ.get("PGPASSWORD", "")),
            "MLFLOW_AUTH_CONFIG_PATH": str(login),
            # The pipeline uses none of MLflow's jobs, which would run code of users on the server.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        words = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--serve-artifacts"]
        return run_server([*words, "--host", host, "--port", str(port)], variables)


def _database(uri: str) -> URL:
    try:
        database = make_url(uri)
    except (ArgumentError, ValueError):
        database = None
    if database is None or database.get_backend_name() != "postgresql":
        raise UserError(f"{DATABASE}: expected {VARIABLES[DATABASE]}, found {without_password(uri)}; correct it")
    # Both are settings of libpq: a password there would pass through to MLflow's messages.
    if "password" in database.query or "passfile" in database.query:
        raise UserError(f"{DATABASE}: expected the password before the @, found it after the ?; move it")
    return database.set(drivername="postgresql+psycopg")


def _require_database(database: URL) -> None:
    engine = create_engine(database, connect_args={"connect_timeout": ANSWER_TIMEOUT_S})
    try:
        engine.connect().close()
    except SQLAlchemyError as error:
        said = one_line(getattr(error, "orig", None) or error)
        shown = database._replace(password=None).render_as_string()
        raise UserError(f"{shown}: the database cannot be used: {said}; start it, or correct {DATABASE}") from None
    finally:
        engine.dispose()


def _require_bucket(uri: str) -> None:
    from boto3.exceptions import Boto3Error  # a package of requirements-team.txt alone
    from botocore.exceptions import BotoCoreError, ClientError
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository  # it takes a second to import

    if not uri.startswith("s3://"):
        raise UserError(f"{ARTIFACTS}: expected {VARIABLES[ARTIFACTS]}, found {without_password(uri)}; correct it")
    try:
        S3ArtifactRepository(uri).list_artifacts()
    except (Boto3Error, BotoCoreError, ClientError, MlflowException) as error:
        raise UserError(
            f"{uri}: the bucket cannot be used: {one_line(error)}; create it, or correct {ARTIFACTS}, "
            "MLFLOW_S3_ENDPOINT_URL and the two keys"
        ) from None
