"""The commands, their options and their help. Each imports what it needs when it runs, so that help is instant."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from MLOps.errors import INTERRUPTED, UserError
from MLOps.faults import fault

if TYPE_CHECKING:
    from datetime import datetime

RESTART = "a running server keeps its version until it is started again"
CHANGED = 3  # exit status of `monitor` where it advises to train again

F = TypeVar("F", bound=Callable[..., Any])

EXAMPLES = """
\b
Examples:
  python -m MLOps doctor
  python -m MLOps compare 4 champion
  python -m MLOps promote 4 --reason "paper traded for a month"
  python -m MLOps rollback --reason "drawdown of 20 % on Monday"
  python -m MLOps monitor --bars new.csv
  python -m MLOps summary --json | jq .gate

The stages themselves are run by DVC: `dvc repro`, or `make repro`. Every command runs from the folder that holds
params.yaml; `python -m MLOps COMMAND --help` says what it reads and writes.
"""


class Program(click.Group):
    """A group of commands in which a mistake of the user, or a fault of machine or store, is one sentence on standard
    error and exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except Exception as error:
            sentence = str(error) if isinstance(error, UserError) else fault(error, "run the same command again")
            if sentence is None:
                raise
            click.echo(f"{ctx.invoked_subcommand}: {sentence}", err=True)
            ctx.exit(1)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order of their use, not of the alphabet


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    help=f"Look at, compare, promote and serve what the pipeline made.\n{EXAMPLES}",
)
def main() -> None:
    pass


def as_json_option(command: F) -> F:
    option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output, no text.")
    return option(command)


def reason_option(command: F) -> F:
    option = click.option("--reason", required=True, help="Why; kept with the version, beside who and when.")
    return option(command)


def browser_option(command: F) -> F:
    option = click.option("--browser/--no-browser", default=None, help="Open it; by default where a screen is.")
    return option(command)


def address_options(port: int) -> Callable[[F], F]:
    def decorate(command: F) -> F:
        at = click.option(
            "--port", default=port, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on."
        )
        host = click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
        return host(at(command))

    return decorate


@main.command()
@as_json_option
def doctor(as_json: bool) -> None:
    """Check the machine, the packages, the data and the store.

    Exit status 1 if a check failed; warnings do not count.
    """
    from dataclasses import asdict

    from MLOps.doctor import diagnose, table

    checks = diagnose()
    show({"checks": [asdict(check) for check in checks]} if as_json else table(checks))
    sys.exit(any(check.status == "failed" for check in checks))


@main.command()
def recover() -> None:
    """Put back what a killed `dvc` command left half-written.

    DVC rewrites dvc.lock and .dvc/tmp/rwlock in place. Neither is touched if it is whole. `make repro` begins with it.
    """
    from MLOps.pipelines.dvc_files import recover

    for sentence in recover():
        show(f"recover: {sentence}")


@main.command()
@as_json_option
def quality(as_json: bool) -> None:
    """Judge the configured bars, and print the quality report.

    Runs the stages ingest and validate_data where they are out of date. Exit status 1 if an error stops the pipeline.
    """
    from MLOps.artifacts import read_json
    from MLOps.commands.processes import run
    from MLOps.pipelines import paths

    # What DVC says is no part of the report.
    status = run([sys.executable, "-m", "dvc", "repro", "validate_data"], stdout=sys.stderr if as_json else None)
    if status:
        sys.exit(status)
    show(read_json(paths.QUALITY) if as_json else (paths.RECORDS / "validate_data" / "quality.md").read_text())


@main.command()
@as_json_option
def summary(as_json: bool) -> None:
    """Print the results of the last run.

    Predictors and agents on validation, test span, walk-forward windows, the gate and the versions."""
    from MLOps.config.params import load_params
    from MLOps.pipelines.summary import as_text, as_values

    params = load_params()
    show(as_values(params) if as_json else as_text(params))


@main.command()
@as_json_option
@browser_option
def report(as_json: bool, browser: bool | None) -> None:
    """Print where the report page is, and open it."""
    from MLOps.commands.browser import open_page
    from MLOps.pipelines import paths

    if not paths.PAGE.exists():
        raise UserError(f"{paths.PAGE}: the report is missing; run `dvc repro`, which writes it")
    page = paths.PAGE.absolute()
    show({"path": str(page), "url": page.as_uri()} if as_json else str(page))
    open_page(page.as_uri(), False if as_json and browser is None else browser)


@main.command()
@click.argument("first", default="candidate")
@click.argument("second", default="champion")
@click.option("--live", is_flag=True, help="By what their decisions earned in service.")
@as_json_option
def compare(first: str, second: str, live: bool, as_json: bool) -> None:
    """Compare two versions.

    Shows figures on the test span and the gate's checks; with --live, whether FIRST earns more than SECOND in service,
    by the outcomes that `outcomes` has joined. That may be asked every day: the test allows for it. Writes
    comparison.html into serving.record.folder.

    FIRST and SECOND are version numbers or aliases; without them, the candidate and the champion.
    """
    if live:
        from MLOps.commands.in_service import compared

        values, words = compared(first, second)
        show(values if as_json else words)
        return
    from MLOps.commands.registered import bundle_versions
    from MLOps.operations.comparison import as_table, described

    models = bundle_versions()
    # The candidate may be the champion.
    names = dict.fromkeys(models.resolve(name) for name in (first, second))
    versions = [described(models, name) for name in names]
    show({"model": models.name, "versions": versions} if as_json else as_table(versions))


@main.command()
@as_json_option
def outcomes(as_json: bool) -> None:
    """Join recorded decisions with what they earned.

    Reads the decisions in serving.record.folder and the bars in data/processed/bars.parquet, and writes
    outcomes.parquet beside the decisions. A decision has an outcome when the two bars after it are there, and if it was
    made before the second of them.
    """
    from MLOps.commands.in_service import joined

    values, words = joined()
    show(values if as_json else words)


@main.command()
@click.argument("version")
@reason_option
@as_json_option
def promote(version: str, reason: str, as_json: bool) -> None:
    """Make VERSION the champion, by hand.

    VERSION is a number or an alias, as candidate. The gate is not asked; its verdict is shown. Who, when and why are
    kept as a tag of the version. The version that was champion is marked as withdrawn: `dvc repro` does not promote it
    again. Serving by the alias champion follows at its next start.
    """
    from MLOps.commands.registered import bundle_versions
    from MLOps.operations.champions import set_champion

    models = bundle_versions()
    version = models.resolve(version)
    moved = set_champion(models, version, user(), reason)
    if moved is None:
        raise UserError(f"{models.name}: version {version} is the champion already; name another version")
    gate = models.tags(moved.version).get("gate", "not asked")
    show(moved.as_dict() if as_json else f"{models.name}: {moved.words} (gate: {gate})\n{RESTART}")


@main.command()
@click.option("--to", "version", help="A version number. By default the champion before the present one.")
@reason_option
@as_json_option
def rollback(version: str | None, reason: str, as_json: bool) -> None:
    """Make an earlier version the champion again.

    The present one is marked as withdrawn: `dvc repro` does not promote it again, `promote` does. Who, when and why are
    kept as tags of both versions.
    """
    from MLOps.commands.registered import bundle_versions
    from MLOps.operations.champions import roll_back

    models = bundle_versions()
    moved = roll_back(models, None if version is None else models.resolve(version), user(), reason)
    show(moved.as_dict() if as_json else f"{models.name}: {moved.words}\n{RESTART}")


@main.command()
@click.option("--base", default="HEAD", show_default=True, help="A commit or branch to compare with.")
def changes(base: str) -> None:
    """Print what the last run changed, in Markdown.

    Headlines and parameters beside those of a commit, and the gate's checks with their reasons."""
    from MLOps.commands.changes import changes

    show(changes(base))


@main.command()
@click.option(
    "--until",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Day after the last one to download; by default today. Other sources have the bars that their files have.",
)
@click.option("--commit/--no-commit", default=True, show_default=True, help="Commit dvc.lock, params.yaml and figures.")
@click.option("--push", is_flag=True, help="Push the commit.")
def retrain(until: "datetime | None", commit: bool, push: bool) -> None:
    """Run the pipeline on the newest bars, and commit.

    Downloads new bars (sources yahoo and ccxt), pulls from DVC's remote if there is one, runs `dvc repro`, writes
    reports/retraining.md, pushes to the remote, and commits. The gate decides on the champion as always.
    """
    from MLOps.commands.retraining import retrain

    show(retrain(None if until is None else until.date(), commit, push))


@main.command()
@click.option("--version", help="A version number or an alias; by default the champion, without one the candidate.")
@click.option(
    "--bars", "file", type=click.Path(path_type=Path), help="A file of bars; by default the configured source."
)
@click.option("--now", help="Time in UTC at which the newest bar is old or not, as 2024-01-31; by default the clock's.")
@as_json_option
def monitor(version: str | None, file: Path | None, now: str | None, as_json: bool) -> None:
    """Compare new bars with those a version was made on.

    Judges the feed, the features, the forecasts, the decisions and the returns of the newest bars (docs/monitoring.md).
    Writes reports/monitoring.json and .html, and metrics to the version's run. Exit status 3 if anything has changed
    and training again is advised, else 0.
    """
    from MLOps.commands.monitoring import monitored

    report, page = monitored(version, file, now)
    show(report.to_dict() if as_json else f"{report.as_text()}\npage: {page}")
    sys.exit(CHANGED if report.retrain else 0)


@main.command()
@click.option("--alias", default="candidate", show_default=True, help="Of the version: candidate or champion.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="Processes that answer.")
@address_options(5001)
def serve(alias: str, workers: int, host: str, port: int) -> None:
    """Serve the candidate or the champion.

    Runs `mlflow models serve`, which answers POST requests to /invocations (docs/serving.md). With serving.policy
    shadow or split, the candidate is served beside the champion, for its record or for a share of the accounts."""
    from MLOps.commands.servers import serve_model

    sys.exit(serve_model(alias, workers, host, port))


@main.command()
@address_options(5000)
def server(host: str, port: int) -> None:
    """Start a team's MLflow server.

    It asks for a login, keeps its tables in PostgreSQL and its artifacts in S3.

    All settings are environment variables (docs/scaling.md). Clients set MLFLOW_TRACKING_URI, MLFLOW_TRACKING_USERNAME
    and MLFLOW_TRACKING_PASSWORD."""
    from MLOps.commands.team_server import serve_team

    sys.exit(serve_team(host, port))


@main.command()
@browser_option
@address_options(5000)
def ui(browser: bool | None, host: str, port: int) -> None:
    """Start MLflow's pages, and open that of the runs.

    With a tracking server (tracking.uri or MLFLOW_TRACKING_URI is an http address) nothing is started: the page is the
    server's.
    """
    from MLOps.commands.servers import show_runs

    sys.exit(show_runs(host, port, browser))


def show(what: Any) -> None:
    """Print a text, or values as JSON."""
    click.echo(what if isinstance(what, str) else json.dumps(what, indent=2, ensure_ascii=False))


def user() -> str:
    """Who decides: the name that Git has, or that of the operating system."""
    import getpass
    import subprocess

    asked = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True)
    return asked.stdout.strip() or getpass.getuser()
