"""The commands, their options and their help. Each imports what it needs when it runs, so that help is instant."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from MLOps.errors import UserError

INTERRUPTED = 130  # exit status of a program that Ctrl-C ended, 128 + SIGINT
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
    """A group of commands in which a user's mistake is one sentence on standard error and exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            click.echo(f"{ctx.invoked_subcommand}: {error}", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)

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
@as_json_option
def quality(as_json: bool) -> None:
    """Judge the configured bars, and print the quality report.

    Runs the stages ingest and validate_data where they are out of date. Exit status 1 if an error stops the pipeline.
    """
    from MLOps.artifacts import read_json
    from MLOps.commands.servers import run
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
@as_json_option
def compare(first: str, second: str, as_json: bool) -> None:
    """Compare two versions.

    Shows figures on the test span and the gate's checks.

    FIRST and SECOND are version numbers or aliases; without them, the candidate and the champion.
    """
    from MLOps.operations.comparison import as_table, described

    models = registry()
    # The candidate may be the champion.
    names = dict.fromkeys(models.resolve(name) for name in (first, second))
    versions = [described(models, name) for name in names]
    show({"model": models.name, "versions": versions} if as_json else as_table(versions))


@main.command()
@click.argument("version")
@reason_option
@as_json_option
def promote(version: str, reason: str, as_json: bool) -> None:
    """Make VERSION the champion, by hand.

    VERSION is a number or an alias, as candidate. The gate is not asked; its verdict is shown. Who, when and why are
    kept as a tag of the version. Serving by the alias champion follows at its next start.
    """
    from MLOps.operations.champions import appoint

    models = registry()
    moved = appoint(models, models.resolve(version), user(), reason)
    gate = models.tags(moved.version).get("gate", "not asked")
    show(moved.as_dict() if as_json else f"{models.name}: {moved.words} (gate: {gate})")


@main.command()
@click.option("--to", "version", help="A version number. By default the champion before the present one.")
@reason_option
@as_json_option
def rollback(version: str | None, reason: str, as_json: bool) -> None:
    """Make an earlier version the champion again.

    The present one is marked as withdrawn: `dvc repro` does not promote it again, `promote` does. Who, when and why are
    kept as tags of both versions.
    """
    from MLOps.operations.champions import withdraw

    models = registry()
    moved = withdraw(models, None if version is None else models.resolve(version), user(), reason)
    show(moved.as_dict() if as_json else f"{models.name}: {moved.words}")


@main.command()
@click.option("--version", default="champion", show_default=True, help="A version number or an alias.")
@click.option(
    "--bars", "file", type=click.Path(path_type=Path), help="A file of bars; by default the configured source."
)
@click.option("--now", help="Time in UTC at which the newest bar is old or not, as 2024-01-31; by default the clock's.")
@as_json_option
def monitor(version: str, file: Path | None, now: str | None, as_json: bool) -> None:
    """Compare new bars with those a version was made on.

    Judges the feed, the features, the forecasts, the decisions and the returns of the newest bars (docs/monitoring.md).
    Writes reports/monitoring.json and .html, and metrics to the version's run. Exit status 3 if anything has changed
    and training again is advised, else 0.
    """
    from MLOps.artifacts import write_json
    from MLOps.config.params import load_params
    from MLOps.experiment_tracking.runs import Runs
    from MLOps.model_registry.versions import Registry
    from MLOps.operations.drift import Watched, drift_report
    from MLOps.operations.new_bars import read_new_bars
    from MLOps.pipelines import paths
    from MLOps.reporting.monitoring import write_monitoring_page

    params, asked = load_params(), moment(now)
    config = params.monitoring  # a mistake in it is told before anything is read
    runs = Runs(params.tracking)
    models = Registry(runs.client, params.tracking.registered_model)
    number = models.resolve(version)
    watched = Watched.load(models, number)
    bars = read_new_bars(params.data, params.seed, watched.model.required_bars, file)
    report = drift_report(watched, bars, config, params.seed, asked)
    write_json(paths.MONITORING, report.to_dict())
    histories = {finding.check: (finding.timestamps, finding.history) for finding in report.findings}
    write_monitoring_page(paths.MONITORING_PAGE, report.to_dict(), histories)
    run = models.run_of(number)
    # Daily looks are a step apart.
    runs.log_metrics(run, report.metrics, step=int(report.window[1].timestamp() // 86400))
    runs.log_file(run, paths.MONITORING_PAGE, "monitoring")
    show(report.to_dict() if as_json else f"{report.as_text()}\npage: {paths.MONITORING_PAGE}")
    sys.exit(CHANGED if report.retrain else 0)


@main.command()
@click.option("--alias", default="candidate", show_default=True, help="Of the version: candidate or champion.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="Processes that answer.")
@address_options(5001)
def serve(alias: str, workers: int, host: str, port: int) -> None:
    """Serve the candidate or the champion.

    Runs `mlflow models serve`, which answers POST requests to /invocations (docs/serving.md)."""
    from MLOps.commands.servers import serve_model

    sys.exit(serve_model(alias, workers, host, port))


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


def registry() -> Any:
    """The registered model of params.yaml."""
    from MLOps.config.params import load_params
    from MLOps.experiment_tracking.store import connect
    from MLOps.model_registry.versions import Registry

    tracking = load_params(Path("params.yaml")).tracking
    return Registry(connect(tracking)[0], tracking.registered_model)


def moment(text: str | None) -> Any:
    """A time in UTC; now, if there is no text."""
    import pandas as pd

    if text is None:
        return pd.Timestamp.now(tz="UTC")
    try:
        stamp = pd.Timestamp(text)
    except ValueError:
        raise UserError(f"--now: expected a time as 2024-01-31T15:30, found {text!r}; correct it") from None
    return stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp.tz_convert("UTC")


def user() -> str:
    """Who decides: the name that Git has, or that of the operating system."""
    import getpass
    import subprocess

    asked = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True)
    return asked.stdout.strip() or getpass.getuser()
