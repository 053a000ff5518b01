"""A team's server: what is missing is told before it starts, the pipeline runs against it, and no secret gets out."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from mlflow.tracking import MlflowClient

from MLOps.commands.servers import free_port
from MLOps.commands.team_server import PACKAGES, VARIABLES, serve_team
from MLOps.errors import UserError
from tests.project import ROOT, Project, environment
from tests.servers import running
from tests.team_servers import BUCKET, KEYS, PASSWORD, object_store, postgres

ADMIN, ANN, BOB = "admin-password-1", "ann-password-22", "bob-password-33"
SIGNATURE = "signature-key-444"
SECRETS = (ADMIN, ANN, BOB, SIGNATURE, PASSWORD, KEYS["AWS_SECRET_ACCESS_KEY"], "p%40ss%2Fw%25rd%20secret")
COMPLETE = {
    "MLFLOW_BACKEND_STORE_URI": "postgresql://ann:top-secret@127.0.0.1:9/mlflow",
    "MLFLOW_ARTIFACTS_DESTINATION": "s3://team/artifacts",
    "AWS_ACCESS_KEY_ID": "team",
    "AWS_SECRET_ACCESS_KEY": "top-secret",
    "MLFLOW_AUTH_ADMIN_PASSWORD": "top-secret-admin",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "top-secret-key",
}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The sentence with which the server refuses to start with these variables besides those of COMPLETE."""

    def ask(**variables: str) -> str:
        for name, value in (COMPLETE | variables).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(UserError) as refusal:
            serve_team("127.0.0.1", free_port())
        assert "top-secret" not in str(refusal.value)
        return str(refusal.value)

    return ask


def test_a_missing_package_is_told_with_the_file_that_has_it(
    told: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("MLOps.commands.team_server.PACKAGES", ("no_such_package",))
    assert "pip install -r requirements-team.txt" in told()


@pytest.mark.parametrize("missing", VARIABLES)
def test_a_missing_variable_is_named(missing: str, told: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("MLOps.commands.team_server.PACKAGES", ())
    assert f"{missing}: expected {VARIABLES[missing]} in this environment variable, found none" in told(**{missing: ""})


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sqlite:///mlflow.db", "expected postgresql://"),
        ("mysql://ann:top-secret@127.0.0.1/mlflow", "expected postgresql://"),
        ("postgresql://ann:top-secret@127.0.0.1:nine/mlflow", "expected postgresql://"),
        ("postgresql://127.0.0.1/mlflow?user=ann&password=top-secret", "expected the password before the @"),
    ],
)
def test_a_database_of_another_kind_is_refused(
    uri: str, expected: str, told: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("MLOps.commands.team_server.PACKAGES", ())
    assert expected in told(MLFLOW_BACKEND_STORE_URI=uri)


def test_a_database_that_does_not_answer_is_told(told: Callable[..., str]) -> None:
    for name in PACKAGES:
        pytest.importorskip(name, reason="needs `pip install -r requirements-team.txt`")
    assert "postgresql+psycopg://ann@127.0.0.1:9/mlflow: the database cannot be used" in told()


@dataclass(frozen=True)
class Team:
    """A server that runs, with the users Ann and Bob."""

    url: str
    s3: str
    folder: Path

    def variables(self, user: str, password: str) -> dict[str, str]:
        return {
            "MLFLOW_TRACKING_URI": self.url,
            "MLFLOW_TRACKING_USERNAME": user,
            "MLFLOW_TRACKING_PASSWORD": password,
        }

    def log(self) -> str:
        return "".join(path.read_text(errors="replace") for path in self.folder.glob("*.log"))


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    for name in PACKAGES:
        pytest.importorskip(name, reason="needs `pip install -r requirements-team.txt`")
    folder = tmp_path_factory.mktemp("team")
    with ExitStack() as servers, pytest.MonkeyPatch.context() as patch:
        database, s3 = servers.enter_context(postgres()), servers.enter_context(object_store(folder))
        variables = {
            **environment(),
            **KEYS,
            "MLFLOW_BACKEND_STORE_URI": f"postgresql://{database}",
            "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{BUCKET}/artifacts",
            "MLFLOW_S3_ENDPOINT_URL": s3,
            "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": SIGNATURE,
            "PYTHONPATH": str(ROOT),
        }
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "MLOps", "server", "--port", str(port)]
        servers.enter_context(running(command, f"{url}/health", folder, variables))
        patch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
        patch.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN)
        from mlflow.server.auth.client import AuthServiceClient

        for user, password in (("ann", ANN), ("bob", BOB)):
            AuthServiceClient(url).create_user(user, password)
        yield Team(url, s3, folder)


def assert_no_secret(text: str) -> None:
    assert [secret for secret in SECRETS if secret in text] == []


@pytest.mark.slow
@pytest.mark.team
def test_no_option_of_the_servers_processes_is_a_secret(team: Team) -> None:
    port = team.url.rpartition(":")[2]
    started = [process for process in psutil.process_iter(["cmdline"]) if port in (process.info["cmdline"] or ())]
    assert started
    for process in [*started, *(child for one in started for child in one.children(recursive=True))]:
        assert_no_secret(" ".join(process.cmdline()))


@pytest.mark.slow
@pytest.mark.team
def test_who_does_not_log_in_is_told_to(team: Team, own: Project) -> None:
    for login in ({}, {"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": BOB}):
        variables = {"MLFLOW_TRACKING_URI": team.url, **login}
        compared = own.run("MLOps", "compare", check=False, variables=variables)
        assert compared.returncode == 1
        assert "refuses the login; set MLFLOW_TRACKING_USERNAME" in compared.stderr
        assert len(compared.stderr.splitlines()) == 1
        doctor = own.run("MLOps", "doctor", check=False, variables=variables)
        assert f"{team.url} refuses the login" in doctor.stdout
        assert_no_secret(compared.stderr + doctor.stdout)


@pytest.mark.slow
@pytest.mark.team
def test_the_pipeline_runs_against_it_by_its_address_and_login(
    team: Team, own: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = team.variables("ann", ANN), team.variables("bob", BOB)
    (own.folder / "mlflow.db").unlink()
    shutil.rmtree(own.folder / "mlruns")
    expected = own.outputs()
    said = [own.run("dvc", "repro", variables=ann)]  # writes the runs of all stages from their records
    said += [own.run("dvc", "repro", "--force", "--single-item", "train_predictor@logistic", variables=ann)]
    assert not (own.folder / "mlflow.db").exists() and not (own.folder / "mlruns").exists()
    outputs = own.outputs()
    changed = {name for name in expected if outputs.get(name) != expected[name]}
    assert changed <= {"reports/index.html"}, "the store does not show in a result"

    said += [own.run("MLOps", "doctor", variables=ann), own.run("dvc", "repro", variables=ann)]
    assert "(nothing new)" in said[-1].stdout
    said += [own.run("MLOps", "promote", "candidate", "--reason", "paper traded", variables=ann)]

    # Another machine, another user: what is registered stays, and the champion may be changed.
    other = tmp_path / "other"
    shutil.copytree(own.folder, other, symlinks=True, ignore=shutil.ignore_patterns(".cache"))
    theirs = Project(other)
    theirs.keep_dvc_state()
    said += [theirs.run("dvc", "repro", variables=bob)]
    assert "(nothing new)" in said[-1].stdout
    said += [theirs.run("MLOps", "compare", "--json", variables=bob), theirs.run("MLOps", "summary", variables=bob)]
    assert len(json.loads(said[-2].stdout)["versions"]) == 1

    port = free_port()
    command = [sys.executable, "-m", "MLOps", "serve", "--alias", "champion", "--port", str(port)]
    with running(command, f"http://127.0.0.1:{port}/ping", other, environment() | bob):
        pass
    for name, value in ann.items():
        monkeypatch.setenv(name, value)
    client = MlflowClient(team.url)
    versions = client.search_model_versions("name = 'trading-agent'")
    assert [version.version for version in versions] == ["1"]
    assert client.get_model_version_by_alias("trading-agent", "champion").version == "1"
    experiments = client.search_experiments()
    runs = client.search_runs([experiment.experiment_id for experiment in experiments], max_results=1000)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert all(run.info.artifact_uri.startswith("mlflow-artifacts:/") for run in runs)
    kept = json.dumps([[run.to_dictionary() for run in runs], [dict(version) for version in versions]], default=str)
    logs = "".join(path.read_text() for path in own.folder.glob(".cache/logs/**/*") if path.is_file())
    assert logs
    assert_no_secret(team.log() + logs + kept + "".join(one.stdout + one.stderr for one in said))
    assert_no_secret((other / f"server_{port}.log").read_text())


@pytest.mark.slow
@pytest.mark.team
def test_artifacts_lie_in_the_bucket(team: Team) -> None:
    import boto3

    keys = {"aws_access_key_id": KEYS["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": KEYS["AWS_SECRET_ACCESS_KEY"]}
    client = boto3.client("s3", endpoint_url=team.s3, region_name="us-east-1", **keys)
    MlflowClient(team.url)
    names = [item["Key"] for item in client.list_objects_v2(Bucket=BUCKET, Prefix="artifacts/").get("Contents", ())]
    assert any(name.endswith("MLmodel") for name in names), names[:10]
    assert os.environ.get("AWS_SECRET_ACCESS_KEY") is None, "clients need no keys of the bucket"
