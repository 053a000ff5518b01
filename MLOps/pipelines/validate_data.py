"""Quality checks of the raw bars, then adjustment and alignment into the bars of all later stages."""

from pathlib import Path

from MLOps.artifacts import read_table, write_json, write_table, write_text
from MLOps.data.clock import Clock
from MLOps.data.labelled_quality import assess_labelled
from MLOps.data.quality import QualityReport, assess
from MLOps.data.quality_report import as_html, as_markdown
from MLOps.data.sentiment import bar_closes, join_sentiment, read_items
from MLOps.data.settle import require_history, settle
from MLOps.data.splits import split
from MLOps.errors import UserError
from MLOps.features.pipeline import FeaturePipeline
from MLOps.pipelines import paths
from MLOps.pipelines.stage import Stage

# The rows of a labelled table are ordered and have no times.
NO_CLOCK = {"calendar": None, "spacing_minutes": None, "bars_per_year": None}


def main() -> None:
    with Stage("validate_data") as stage:
        data, raw = stage.params.data, read_table(paths.RAW_BARS)
        if data.source == "labelled":
            bars, required_bars, clock = raw, longest_lookback(stage), None
            publish(stage, assess_labelled(raw))
        else:
            clock = Clock.of(raw, data.calendar, data.bars_per_year)
            print(f"{stage.name}: clock of the bars: {clock.words}")
            report = assess(raw, clock, data.on_missing, data.accept_findings)
            if report.refusal(data.quality_threshold):
                publish(stage, report)
            pipeline = FeaturePipeline.fit(stage.params.features.names, raw)
            required_bars = pipeline.warmup_bars + longest_lookback(stage) - 1
            bars, changes = settle(raw, data.on_missing, required_bars, str(paths.RAW_BARS))
            publish(stage, report.with_findings(changes))
            if data.sentiment.enabled:
                closes = bar_closes(bars, clock, data.sentiment)
                items = read_items(Path(data.sentiment.path))
                bars = join_sentiment(bars, items, closes, data.sentiment.publication_delay_minutes)
        require_history(bars, split(bars["timestamp"], stage.params.splits), required_bars, str(paths.RAW_BARS))
        write_table(paths.BARS, bars)
        write_json(paths.CLOCK, NO_CLOCK if clock is None else clock.to_dict())


def publish(stage: Stage, report: QualityReport) -> None:
    """Write the quality report as JSON, Markdown and HTML, and print its warnings.

    Raises:
        UserError: the run may not go on.
    """
    threshold = stage.params.data.quality_threshold
    write_text(stage.artifact("quality.md"), as_markdown(report, threshold))
    write_text(stage.artifact("quality.html"), as_html(report, threshold))
    if reason := report.refusal(threshold):
        raise UserError(f"{paths.RAW_BARS}: {reason} ({stage.artifact('quality.html')} has the rows)")
    for finding in report.of_severity("warning"):
        print(f"{stage.name}: warning: {finding.sentence}")
    write_json(paths.QUALITY, report.to_dict())
    stage.report({"quality_score": report.score, "findings": sum(f.count for f in report.findings)})


def longest_lookback(stage: Stage) -> int:
    """Of all predictors, and of what a search may draw for them, in bars."""
    searched = [
        space["lookback_bars"] for space in stage.params.search.predictors.spaces.values() if "lookback_bars" in space
    ]
    drawn = [value for bounds in searched for value in (*bounds.choices, bounds.high) if isinstance(value, int)]
    return max(*drawn, *(predictor.lookback_bars for predictor in stage.params.predictors.values()), 1)


if __name__ == "__main__":
    main()
