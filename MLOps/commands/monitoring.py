"""One look of the monitor: new bars, a version's reference, the report and where it goes."""

from pathlib import Path

import pandas as pd

from MLOps.artifacts import write_json
from MLOps.config.params import load_params
from MLOps.errors import UserError
from MLOps.experiment_tracking.runs import Runs
from MLOps.model_registry.versions import CANDIDATE, CHAMPION, Registry
from MLOps.operations.drift import DriftReport, Watched, drift_report
from MLOps.operations.new_bars import read_new_bars
from MLOps.pipelines import paths
from MLOps.reporting.monitoring import write_monitoring_page

SECONDS_PER_DAY = 86_400


def monitored(version: str | None, file: Path | None, now: str | None) -> tuple[DriftReport, Path]:
    """Compare new bars with those a version was made on, and write the report as JSON, as a page, and to its run.

    Args:
        version: a number or an alias; None takes the champion, or the candidate where there is none.
        file: of bars; None takes the configured source.
        now: the time at which the newest bar is old or not; None for the clock's.

    Returns:
        The report, and where the page is.

    Raises:
        UserError: there is no such version, the bars cannot be read or do not suffice, or the time is none.
    """
    params, asked = load_params(), _moment(now)
    config = params.monitoring  # a mistake in it is told before anything is read
    runs = Runs(params.tracking)
    models = Registry.of_bundles(runs.client, params.tracking)
    number = models.resolve(version or (CHAMPION if models.version_at(CHAMPION) else CANDIDATE))
    watched = Watched.load(models, number)
    bars = read_new_bars(params.data, params.seed, watched.model.required_bars, file)
    report = drift_report(watched, bars, config, params.seed, asked)
    write_json(paths.MONITORING, report.to_dict())
    histories = {finding.check: (finding.timestamps, finding.history) for finding in report.findings}
    write_monitoring_page(paths.MONITORING_PAGE, report.to_dict(), histories)
    run = models.run_of(number)
    # Daily looks are a step apart.
    runs.log_metrics(run, report.metrics, step=int(report.window[1].timestamp() // SECONDS_PER_DAY))
    runs.log_file(run, paths.MONITORING_PAGE, "monitoring")
    return report, paths.MONITORING_PAGE


def _moment(text: str | None) -> pd.Timestamp:
    if text is None:
        return pd.Timestamp.now(tz="UTC")
    try:
        stamp = pd.Timestamp(text)
    except ValueError:
        raise UserError(f"--now: expected a time as 2024-01-31T15:30, found {text!r}; correct it") from None
    return stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp.tz_convert("UTC")
