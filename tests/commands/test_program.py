"""The command line: what it prints, for people and for machines, and how it ends."""

import json
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from pkgutil import resolve_name

import click
import mlflow
import pytest
from click.testing import CliRunner, Result
from mlflow.exceptions import MlflowException

from MLOps.commands import browser, in_service, servers
from MLOps.commands.program import main
from MLOps.model_registry.versions import CHAMPION, Registry
from MLOps.operations import champions
from MLOps.pipelines import promote
from tests.project import ROOT, Project

SLOW_TO_IMPORT = ("mlflow", "numpy", "pandas", "pydantic", "torch", "yaml")


def ask(*words: str) -> Result:
    return CliRunner().invoke(main, words)


@pytest.fixture
def two_versions(project: Project) -> Registry:
    """The candidate, version 1, and a second version with the same files."""
    mlflow.set_tracking_uri(f"sqlite:///{project.folder}/mlflow.db")
    client = project.client()
    registry = Registry(client, "trading-agent")
    source = client.get_model_version("trading-agent", "1").source
    assert source is not None
    registry.register(source, "of another bundle")
    return registry


def test_help_imports_nothing_that_takes_long() -> None:
    code = f"import sys, MLOps.__main__; print([name for name in {SLOW_TO_IMPORT!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_command_has_a_help_that_says_what_it_does() -> None:
    listed = ask("--help")
    assert listed.exit_code == 0
    for name, command in main.commands.items():
        assert name in listed.output
        told = ask(name, "--help")
        assert told.exit_code == 0
        assert command.help is not None and len(command.help) > 40, name
        assert "..." not in command.get_short_help_str(limit=60), f"{name}: its first sentence is cut in the list"
        assert all(option.help for option in command.params if isinstance(option, click.Option)), name


def test_the_console_script_is_the_command_line() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert resolve_name(project["scripts"]["mlops-trading"]) is main


def test_what_the_program_imports_itself_is_required() -> None:
    assert distribution("click").version in (ROOT / "requirements.txt").read_text()
    assert "click" in (ROOT / "requirements.in").read_text().split()


def test_a_mistake_is_a_sentence(project: Project) -> None:
    for words, sentence in {
        ("compare",): "compare: trading-agent: expected a version with the alias champion, found none; "
        "name a version: 1\n",
        ("compare", "7", "1"): "compare: trading-agent: expected candidate or champion or a version of 1, found '7'\n",
        ("rollback", "--reason", "x"): "rollback: trading-agent: there is no champion to roll back\n",
        ("promote", "1", "--reason", " "): "promote: --reason: expected 1 to 1000 characters",
    }.items():
        done = ask(*words)
        assert (done.exit_code, done.stdout) == (1, ""), done.output
        assert done.stderr.startswith(sentence)
    (project.folder / "reports/index.html").unlink()
    assert ask("report").stderr.startswith("report: reports/index.html: the report is missing; run `dvc repro`")


def test_results_for_people_and_for_machines(project: Project) -> None:
    told = ask("summary").stdout
    assert "Gate: refused." in told or "Gate: passed." in told
    values = json.loads(ask("summary", "--json").stdout)
    assert values["aliases"]["candidate"] == "1"
    assert values["test"]["agent"]["sharpe"] == pytest.approx(values["walk_forward"]["joined"]["agent"]["sharpe"])
    assert {verdict["predictor"] for verdict in values["predictors"]} == {"lstm", "logistic"}
    page = json.loads(ask("report", "--json").stdout)["path"]
    assert Path(page).samefile(project.folder / "reports/index.html")
    assert {check["name"] for check in json.loads(ask("doctor", "--json").stdout)["checks"]} >= {"Python", "dataset"}


def test_versions_are_compared_by_their_figures_and_checks(two_versions: Registry) -> None:
    told = ask("compare", "1", "2").stdout
    assert "version 1, candidate" in told and "version 2" in told
    one, two = json.loads(ask("compare", "candidate", "2", "--json").stdout)["versions"]
    assert one["figures"] == two["figures"]
    assert f"{one['figures']['agent']['total_return']:.2%}" in told
    assert one["checks"] and not two["checks"], "the second was never judged"


def test_who_made_a_champion_when_and_why_is_kept(two_versions: Registry, project: Project) -> None:
    project.git("config", "user.name", "Ann")
    first = json.loads(ask("promote", "candidate", "--reason", "paper traded", "--json").stdout)
    assert (first["version"], first["before"], first["by"], first["reason"]) == ("1", None, "Ann", "paper traded")
    assert "is champion already" not in ask("promote", "2", "--reason", "better").output
    assert two_versions.version_at(CHAMPION) == "2"
    # What a person replaced is not put back by the gate.
    assert champions.withdrawn(two_versions, "1") == f"by Ann on {champions.now()[:10]}: better"
    told = ask("rollback", "--reason", "drawdown").stdout
    assert champions.withdrawn(two_versions, "1") is None
    assert "version 1 is champion instead of version 2, rolled back to by Ann: drawdown" in told
    assert two_versions.version_at(CHAMPION) == "1"
    kept = champions.history(two_versions)
    assert [(c.kind, c.version, c.before) for c in kept] == [
        ("promote", "1", None),
        ("promote", "2", "1"),
        ("rollback", "1", "2"),
    ]
    assert champions.withdrawn(two_versions, "2") == f"by Ann on {kept[-1].time[:10]}: drawdown"
    # Nothing is before the first, and a version that was rolled back is not returned to.
    assert "no champion before version 1 is recorded; name one with --to: 2" in ask("rollback", "--reason", "x").stderr
    ask("rollback", "--to", "2", "--reason", "was right")
    assert two_versions.version_at(CHAMPION) == "2"
    assert champions.withdrawn(two_versions, "2") is None


@pytest.fixture
def four(two_versions: Registry, project: Project) -> Registry:
    """Two more versions, of contents of their own."""
    source = project.client().get_model_version("trading-agent", "1").source
    assert source is not None
    for content in ("of a third", "of a fourth"):
        two_versions.register(source, content)
    return two_versions


def test_a_rollback_to_one_that_was_never_champion_keeps_what_was_before(four: Registry) -> None:
    for version in ("1", "2", "3"):
        champions.set_champion(four, version, "Ann", "better")
    champions.roll_back(four, "4", "Ann", "3 is wrong")
    assert champions.roll_back(four, None, "Ann", "so is 4").version == "2"


def test_a_rollback_takes_the_whole_copy_of_a_damaged_version(
    four: Registry, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    champions.set_champion(four, "1", "Ann", "first")
    champions.set_champion(four, "3", "Ann", "better")
    source = project.client().get_model_version("trading-agent", "1").source
    assert source is not None
    whole = Registry.is_whole
    monkeypatch.setattr(Registry, "is_whole", lambda self, version: version != "1" and whole(self, version))
    copy = four.register(source, four.tags("1")["bundle"])
    assert champions.roll_back(four, None, "Ann", "worse").version == copy


def test_who_comes_second_is_told_who_is_champion(four: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process, whose clock is ahead, makes its change between ours and the move of the alias."""
    real = Registry.untag

    def meanwhile(self: Registry, version: str, tag: str) -> None:
        monkeypatch.setattr(Registry, "untag", real)
        real(self, version, tag)
        champions.set_champion(self, "4", "Ben", "mine")

    monkeypatch.setattr(Registry, "untag", meanwhile)
    change = champions.set_champion(four, "2", "Ann", "ours")
    assert change is not None and (change.version, change.by) == ("4", "Ben")
    assert four.version_at(CHAMPION) == "4"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", "outcomes.parquet"), "outcomes.parquet: No space left on device; free"),
        (MlflowException("(sqlite3.OperationalError) database is locked"), "the tracking store does not answer: "),
    ],
    ids=str,
)
def test_a_fault_of_machine_or_store_is_a_sentence(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise RuntimeError("while it was joined") from error

    monkeypatch.setattr(in_service, "joined", fails)
    done = ask("outcomes")
    assert done.exit_code == 1
    assert done.stderr.startswith("outcomes: ") and done.stderr.count("\n") == 1
    assert said in done.stderr and done.stderr.endswith("run the same command again\n")

    def is_wrong() -> None:
        raise KeyError("a defect")

    monkeypatch.setattr(in_service, "joined", is_wrong)
    assert isinstance(ask("outcomes").exception, KeyError)


def test_a_withdrawn_version_is_not_promoted_by_the_gate(
    two_versions: Registry, project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    def decided() -> str:
        promote.main()
        return capsys.readouterr().out

    open_gate = dict.fromkeys(("span_days", "cagr", "max_drawdown", "deflated_sharpe", "champion"))
    open_gate |= dict.fromkeys(("sharpe_above_buy_and_hold", "random_timing"))
    project.update({f"gate.{key}": level for key, level in open_gate.items()})
    assert "champion: every check passed" in decided()
    (change,) = champions.history(two_versions)
    assert (change.by, change.version) == (champions.GATE, "1")
    champions.roll_back(two_versions, "2", "Ann", "wrong prices")
    told = decided()
    assert "champion refused: it was withdrawn by Ann" in told
    assert "`python -m MLOps promote 1` makes it champion again" in told
    assert two_versions.version_at(CHAMPION) == "2"
    assert "nothing new" in decided()


def test_damaged_files_are_not_promoted(two_versions: Registry, project: Project) -> None:
    folder = Path(project.client().get_model_version_download_uri("trading-agent", "2"))
    (folder / "artifacts/bundle/metadata.json").write_text("{}")
    done = ask("promote", "2", "--reason", "x")
    assert done.exit_code == 1
    assert "trading-agent version 2: its files differ" in done.stderr
    assert two_versions.version_at(CHAMPION) is None
    assert champions.history(two_versions) == []
    served = ask("serve")
    assert served.exit_code == 1
    assert "trading-agent version 1: its files differ" in served.stderr


def test_the_runs_page_is_that_of_the_pipelines_experiment(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[list[str]] = []

    def run(command: list[str], *_: object) -> int:
        started.append(command)
        return 0

    monkeypatch.setattr(servers, "run", run)
    monkeypatch.setattr(servers, "_open_when_up", lambda *_: None)
    assert servers.show_runs("127.0.0.1", 5000, None) == 0
    experiment = project.client().get_experiment_by_name("trading")
    assert experiment is not None
    page = f"http://127.0.0.1:5000/#/experiments/{experiment.experiment_id}/runs?workflowType=machine_learning"
    assert capsys.readouterr().out == f"runs: {page}\n"
    assert started[0][1:4] == ["-m", "mlflow", "ui"]
    assert "Useful columns" in experiment.tags["mlflow.note.content"]


def test_a_page_opens_only_where_it_can_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(browser.webbrowser, "open", opened.append)
    monkeypatch.setattr(browser.sys, "platform", "linux")
    for name in browser.SCREENS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(browser.sys.stdout, "isatty", lambda: True, raising=False)
    browser.open_page("headless", None)
    browser.open_page("asked for", True)
    monkeypatch.setenv("DISPLAY", ":0")
    browser.open_page("unwanted", False)
    browser.open_page("seen", None)
    assert opened == ["asked for", "seen"]
