"""The quality report as Markdown for terminals and pull requests, and as HTML for browsers and MLflow."""

from html import escape

from MLOps.data.quality import QualityReport

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .4rem .6rem; vertical-align: top }
tr { border-bottom: 1px solid #ddd } .error { color: #b00020 } .warning { color: #9a6700 } .info { color: #57606a }
.score { font-size: 2.2rem; font-weight: 600 } code { font-size: .85em }
"""


def _summary(report: QualityReport, threshold: float) -> str:
    verdict = "at or above" if report.score >= threshold else "below"
    return (
        f"score {report.score:.4f}, {verdict} the threshold of {threshold:g}; "
        f"{report.bars} rows of {report.expected_bars} expected"
    )


def as_markdown(report: QualityReport, threshold: float) -> str:
    """A heading, the score, and a table of findings with their first rows."""
    lines = ["# Data quality", "", _summary(report, threshold), ""]
    if not report.findings:
        return "\n".join([*lines, "No finding.", ""])
    lines += ["| finding | severity | count | first rows | what to do |", "|---|---|---|---|---|"]
    for f in report.findings:
        lines.append(f"| {f.check} | {f.severity} | {f.count} | {', '.join(f.rows[:3])} | {f.advice} |")
    return "\n".join([*lines, ""])


def as_html(report: QualityReport, threshold: float) -> str:
    """A self-contained page that lists every row in the report."""
    rows = "".join(
        f'<tr><td>{escape(f.check)}</td><td class="{f.severity}">{f.severity}</td><td>{f.count}</td>'
        f"<td>{'<br>'.join(f'<code>{escape(row)}</code>' for row in f.rows)}"
        f"{'<br>…' if f.count > len(f.rows) else ''}</td><td>{escape(f.advice)}</td></tr>"
        for f in report.findings
    )
    table = (
        f"<table><tr><th>finding</th><th>severity</th><th>count</th><th>rows</th><th>what to do</th></tr>{rows}</table>"
        if rows
        else "<p>No finding.</p>"
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Data quality</title><style>{STYLE}</style>'
        f'<h1>Data quality</h1><p class="score">{report.score:.4f}</p><p>{_summary(report, threshold)}</p>'
        f"{table}</html>\n"
    )
