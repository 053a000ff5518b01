"""compose.yaml starts what `make server` starts: the same login, secrets from the environment, the loopback alone."""

import re
from configparser import ConfigParser

import yaml

from MLOps.commands.team_server import LOGIN, VARIABLES
from tests.project import ROOT

TEXT = (ROOT / "compose.yaml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SECRETS = re.compile(r"PASSWORD|SECRET|ACCESS_KEY")


def test_no_port_is_open_to_other_machines() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", ())]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)


def test_secrets_come_from_the_environment_and_must_be_there() -> None:
    given = {
        name: value
        for service in COMPOSE["services"].values()
        for name, value in service["environment"].items()
        if SECRETS.search(name)
    }
    assert len(given) > 4
    assert all(re.fullmatch(r"\$\{[A-Z_]+:\?\}", value) for value in given.values()), given


def test_the_server_has_the_variables_and_the_login_of_make_server() -> None:
    assert set(COMPOSE["services"]["mlflow"]["environment"]) >= set(VARIABLES)
    in_compose, in_code = ConfigParser(), ConfigParser()
    in_compose.read_string(COMPOSE["configs"]["login"]["content"])
    in_code.read_string(LOGIN.format(database="postgresql+psycopg://mlflow@postgres/mlflow"))
    assert dict(in_compose["mlflow"]) == dict(in_code["mlflow"])


def test_images_are_those_of_a_named_version() -> None:
    images = [COMPOSE["services"]["postgres"]["image"], *re.findall(r"^ +FROM (.+)$", TEXT, flags=re.MULTILINE)]
    assert len(images) == 2
    assert all(re.search(r":\d", image) for image in images)
