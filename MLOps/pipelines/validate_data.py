"""Quality checks of the raw bars, then adjustment and alignment into the bars of all later stages."""

from MLOps.artifacts import read_table, write_json, write_table, write_text
from MLOps.config.params import load_params
from MLOps.data.bars import TEST_ROWS
from MLOps.data.clock import Clock
from MLOps.data.labelled_quality import assess_labelled
from MLOps.data.quality import QualityReport, assess, without_bars_of
from MLOps.data.quality_report import as_html, as_markdown
from MLOps.data.sentiment import with_sentiment
from MLOps.data.settle import require_history, settle
from MLOps.data.splits import split
from MLOps.data.walk_forward import Window, require_refit, require_windows
from MLOps.errors import UserError
from MLOps.features.history import longest_lookback, required_bars
from MLOps.pipelines import paths
from MLOps.pipelines.stage import Stage

# The rows of a labelled table are ordered and have no times.
NO_CLOCK = {"calendar": None, "spacing_minutes": None, "bars_per_year": None}


def main() -> None:
    with Stage("validate_data") as stage:
        data, raw, where = stage.params.data, read_table(paths.RAW_BARS), str(paths.RAW_BARS)
        if data.source == "labelled":
            bars, clock = raw, None
            publish(stage, assess_labelled(raw))
            needed = longest_lookback(stage.params.predictors, stage.params.search.predictors)
            splits = split(bars["timestamp"], stage.params.splits, raw.attrs.get(TEST_ROWS, 0))
            require_history(bars, splits, needed, where)
        else:
            clock = Clock.of(raw, data.calendar, data.bars_per_year)
            print(f"{stage.name}: clock of the bars: {clock.words}")
            raw, dropped = without_bars_of(raw, clock, data.drop_findings)
            report = assess(raw, clock, data.on_missing, data.accept_findings).with_findings(dropped)
            if report.refusal(data.quality_threshold):
                publish(stage, report)
            predictors, search = stage.params.predictors, stage.params.search.predictors
            needed = required_bars(stage.params.features.names, raw, predictors, search)
            bars, changes = settle(raw, data.on_missing, needed, where)
            publish(stage, report.with_findings(changes))
            bars = with_sentiment(bars, clock, data.sentiment)

            def check(window: Window) -> None:
                known = window.known(bars)
                splits = window.splits(known["timestamp"], stage.params.splits)
                require_history(known, splits, needed, where)

            timestamps, config, windows = bars["timestamp"], stage.params.splits, stage.params.walk_forward
            require_windows(timestamps, config, windows, check)
            # Not among the stage's declared parameters, because no result depends on it.
            if load_params().walk_forward.refit:
                require_refit(timestamps, config, windows, lambda spans: require_history(bars, spans, needed, where))
        write_table(paths.BARS, bars)
        write_json(paths.CLOCK, NO_CLOCK if clock is None else clock.to_dict())


def publish(stage: Stage, report: QualityReport) -> None:
    """Write the quality report as JSON, Markdown and HTML, and print its errors and warnings.

    Raises:
        UserError: the run may not go on.
    """
    threshold = stage.params.data.quality_threshold
    write_text(stage.artifact("quality.md"), as_markdown(report, threshold))
    write_text(stage.artifact("quality.html"), as_html(report, threshold))
    for severity in ("error", "warning"):
        for finding in report.of_severity(severity):
            print(f"{stage.name}: {severity}: {finding.sentence}")
    if reason := report.refusal(threshold):
        raise UserError(f"{paths.RAW_BARS}: {reason}; rows: {stage.artifact('quality.html')}")
    write_json(paths.QUALITY, report.to_dict())
    stage.report({"quality_score": report.score, "findings": sum(f.count for f in report.findings)})


if __name__ == "__main__":
    main()
