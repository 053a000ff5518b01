"""The quality report; below the threshold the pipeline stops here."""

from MLOps.artifacts import read_table, write_json
from MLOps.data.quality import assess
from MLOps.data.quality_report import as_html, as_markdown
from MLOps.errors import UserError
from MLOps.pipelines import paths
from MLOps.pipelines.stage import Stage


def main() -> None:
    with Stage("validate_data") as stage:
        data = stage.params.data
        report, threshold = assess(read_table(paths.BARS), data.calendar), data.quality_threshold
        stage.artifact("quality.md").write_text(as_markdown(report, threshold))
        stage.artifact("quality.html").write_text(as_html(report, threshold))
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
