"""The quality report; below the threshold the pipeline stops here."""

from MLOps.artifacts import read_table, write_json, write_text
from MLOps.data.labelled_quality import assess_labelled
from MLOps.data.quality import assess
from MLOps.data.quality_report import as_html, as_markdown
from MLOps.errors import UserError
from MLOps.pipelines import paths
from MLOps.pipelines.stage import Stage


def main() -> None:
    with Stage("validate_data") as stage:
        data = stage.params.data
        table, threshold = read_table(paths.BARS), data.quality_threshold
        report = assess_labelled(table) if data.source == "labelled" else assess(table, data.calendar)
        write_text(stage.artifact("quality.md"), as_markdown(report, threshold))
        write_text(stage.artifact("quality.html"), as_html(report, threshold))
        if report.score < threshold:
            raise UserError(
                f"{paths.BARS}: expected a quality score of at least {threshold}, found {report.score:.4f}: "
                f"{report.sentence()}; mend the bars or lower data.quality_threshold "
                f"({stage.artifact('quality.html')} has the rows)"
            )
        write_json(paths.QUALITY, report.to_dict())
        stage.report({"quality_score": report.score, "findings": sum(f.count for f in report.findings)})


if __name__ == "__main__":
    main()
