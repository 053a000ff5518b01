"""The report page of a real run: its sections, its numbers, its safety, and what it does without some files."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from MLOps.artifacts import read_json, write_json, write_table
from MLOps.experiment_tracking.record import RECORD, Record
from MLOps.reporting.page import moment, origin, write_page
from tests.project import Project

SECTIONS = (
    "verdict", "performance", "trades", "symbols", "windows", "seeds", "predictors", "quality", "trials", "environment",
)  # fmt: skip
VOID = {"meta", "link", "br", "img", "input", "hr"}
VERDICT = {
    "promoted": False,
    "checks": [
        {"name": "deflated_sharpe", "passed": False, "figure": 0.41, "threshold": 0.95, "reason": "luck explains it"},
        {"name": "span", "passed": True, "figure": None, "threshold": None, "reason": "long enough"},
    ],
    "trials": 7,
    "version": "1",
    "words": "champion refused: luck explains it",
}


class Page(HTMLParser):
    """The tags, the sections and the text of a page; fails where tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: dict[str, str] = {}
        self._section = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "section":
            self._section = dict(attrs)["id"] or ""
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words[self._section] = self.words.get(self._section, "") + data


@pytest.fixture
def left(finished: Project, tmp_path: Path) -> Path:
    """What the stages of a finished run left, to change at will."""
    shutil.copytree(finished.folder / "reports", tmp_path / "reports")
    shutil.copytree(finished.folder / "data" / "processed", tmp_path / "data")
    return tmp_path


def records(left: Path) -> list[Record]:
    return [Record.load(path.parent) for path in sorted((left / "reports" / "records").rglob(RECORD))]


def page(left: Path, commit: str = "0123abcd") -> str:
    return write_page(left / "reports", left / "data", records(left), commit).read_text()


def test_the_pipeline_wrote_and_logged_the_page(finished: Project) -> None:
    text = (finished.folder / "reports/index.html").read_text()
    assert tuple(re.findall('<section id="(\\w+)"', text)) == SECTIONS
    client = finished.client()
    version = client.get_model_version_by_alias("trading-agent", "candidate")
    assert version.run_id is not None
    logged = client.download_artifacts(version.run_id, "report/index.html")
    assert Path(logged).read_text() == text


def test_every_section_is_there_and_nothing_comes_from_elsewhere(left: Path) -> None:
    write_json(left / "reports/verdict.json", VERDICT)
    text = page(left)
    parsed = Page(text)
    assert tuple(attributes["id"] for tag, attributes in parsed.tags if tag == "section") == SECTIONS
    assert not {"script", "link", "iframe", "img", "object", "embed", "base"} & {tag for tag, _ in parsed.tags}
    for tag, attributes in parsed.tags:
        assert not any(name.startswith("on") for name in attributes), "no handler"
        assert attributes.get("href", "#").startswith("#"), tag  # type: ignore[union-attr]
        assert "src" not in attributes
    assert "://" not in text and "@import" not in text and "url(" not in text
    assert len(text.encode()) < 3_000_000
    assert "luck explains it" in parsed.words["verdict"] and "✗ not promoted" in parsed.words["verdict"]
    assert "7 distinct candidates" in parsed.words["trials"]
    assert "0123abcd" in parsed.words["environment"]
    for name in ("lstm", "logistic", "ensemble"):
        assert name in parsed.words["predictors"]
    assert "nan" not in re.findall(r"\b\w+\b", " ".join(parsed.words.values()))


def test_the_same_files_give_the_same_bytes(left: Path) -> None:
    assert page(left) == page(left)


def test_the_figures_are_those_of_the_report(left: Path) -> None:
    report = read_json(left / "reports/backtest/report.json")
    text = Page(page(left)).words
    own = report["metrics"]["agent"]

    def shown(value: float, form: str) -> str:
        return format(value, form).replace("-", "−")

    for figure in (
        shown(own["sharpe"], ".2f"),
        shown(own["total_return"], "+.1%"),
        shown(own["max_drawdown"], ".1%"),
        shown(own["costs"], ",.0f"),
        shown(report["random_rank"], ".0%"),
    ):
        assert figure in text["verdict"], figure
    for metrics in report["metrics"].values():
        assert shown(metrics["cagr"], "+.1%") in text["performance"]
    # The drawn equity ends where the metrics say.
    returns = pd.read_parquet(left / "reports/backtest/returns.parquet").set_index("timestamp")
    for name, metrics in report["metrics"].items():
        assert (1 + returns[name]).prod() - 1 == pytest.approx(metrics["total_return"])
    scored = read_json(left / "reports/backtest/predictors.json")["predictors"]
    for values in scored.values():
        assert shown(values["scores"]["accuracy"]["value"], ".1%") in text["predictors"]


def trials_file(left: Path, count: int, own: int) -> list[str]:
    """A list of trials, best first, as `promote` writes it; the names as the page shows them."""
    trials: list[dict[str, Any]] = [
        {
            "number": count - rank,
            "candidate": f"{rank:02x}".ljust(64, "0"),
            "start": "2015-01-01T00:00:00",
            "end": "2016-12-30T00:00:00",
            "bars": 500 + rank,
            "sharpe": 2 - rank / 10,
            "own": rank == own,
        }
        for rank in range(count)
    ]
    write_json(left / "reports/verdict.json", {**VERDICT, "trials": count})
    write_json(left / "reports/trials.json", {"highest_sharpe_without_skill": 1.234, "trials": trials})
    return [trial["candidate"][:12] for trial in trials]


@pytest.mark.parametrize(("count", "own"), [(1, 0), (2, 1), (30, 29), (31, 3), (31, 30), (80, 79)])
def test_the_trials_are_listed_best_first_and_the_own_is_marked(left: Path, count: int, own: int) -> None:
    names = trials_file(left, count, own)
    text = page(left)
    said = Page(text).words["trials"]
    section = text[text.index('<section id="trials">') :]
    shown = re.findall('<tr(?: class="own")?><td><code>(\\w{12})</code>', section)
    expected = names[:30] if own < 30 else [*names[:29], names[own]]
    assert shown == expected
    (marked,) = re.findall('<tr class="own"><td><code>(\\w{12})</code> \\(this candidate\\)', section)
    assert marked == names[own]
    assert ("expected to reach 1.23 a year" in said) == (count > 1)
    left_out = sorted(set(range(count)) - {names.index(name) for name in shown})
    assert ("left out" in said) == bool(left_out)
    if left_out:
        lowest, highest = (f"{2 - rank / 10:.2f}".replace("-", "−") for rank in (left_out[-1], left_out[0]))
        assert f"{len(left_out)} more" in said and f"from {lowest} to {highest}" in said


def test_the_pipeline_lists_the_trial_of_its_candidate(finished: Project) -> None:
    listed = read_json(finished.folder / "reports/trials.json")
    returns = pd.read_parquet(finished.folder / "reports/walk_forward/returns.parquet")
    (trial,) = listed["trials"]
    report = read_json(finished.folder / "reports/walk_forward/report.json")
    assert trial["own"] and trial["number"] == 1 and trial["bars"] == len(returns)
    assert trial["sharpe"] == pytest.approx(report["joined"]["agent"]["sharpe"])
    assert trial["candidate"][:12] in Page((finished.folder / "reports/index.html").read_text()).words["trials"]


def test_names_cannot_inject_markup(left: Path) -> None:
    evil = '"><script>alert(1)</script>'
    ledgers = left / "reports/backtest/ledgers.parquet"
    table = pd.read_parquet(ledgers)
    write_table(ledgers, table.assign(symbol=table["symbol"].astype(str).replace("AAPL", evil)))
    returns = left / "reports/backtest/returns.parquet"
    write_table(returns, pd.read_parquet(returns).rename(columns={"predictor_sign": evil}))
    report: dict[str, Any] = read_json(left / "reports/backtest/report.json")
    report["agent"] = evil
    report["metrics"][evil] = report["metrics"].pop("predictor_sign")
    write_json(left / "reports/backtest/report.json", report)
    verdicts = read_json(left / "reports/verdicts.json")
    verdicts["verdicts"][0]["predictor"] = evil
    write_json(left / "reports/verdicts.json", verdicts)
    check = {"name": evil, "passed": False, "figure": 0.1, "threshold": 0.2, "reason": evil}
    write_json(left / "reports/verdict.json", {**VERDICT, "words": evil, "checks": [check]})
    text = page(left, commit=evil)
    assert "<script" not in text
    assert text.count("&lt;script&gt;alert") > 5
    Page(text)


@pytest.mark.parametrize(
    "missing",
    [
        "backtest",
        "backtest/predictors.json",
        "verdicts.json",
        "quality.json",
        "history",
        "metrics/train_agent",
        "records/validate_predictors",
        "records",
    ],
)
def test_a_missing_part_is_said_to_be_missing(left: Path, missing: str) -> None:
    path = left / "reports" / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert '<section id="verdict">' in page(left)
    Page(page(left))


def test_windows_of_a_walk_forward_are_listed_and_drawn(left: Path) -> None:
    report = read_json(left / "reports/backtest/report.json")
    folder = left / "reports/walk_forward"
    shutil.rmtree(folder)
    assert "No walk-forward windows" in page(left)
    windows = [
        {**report["span"], "agent": "ppo", "metrics": report["metrics"], "random_rank": 0.5, "excess": report["excess"]}
    ]
    joined = {"agent": {**report["metrics"]["agent"], "sharpe": 12.34}}
    returns = pd.read_parquet(left / "reports/backtest/returns.parquet")
    write_json(folder / "report.json", {"windows": windows, "joined": joined})
    write_table(folder / "returns.parquet", returns.assign(window=0))
    text = page(left)
    for wanted in ("12.34", "over all windows", "joined"):
        assert wanted not in text, "one window is the test span"
    write_json(folder / "report.json", {"windows": windows * 2, "joined": joined})
    half = (returns.index >= len(returns) // 2).astype(int)
    write_table(folder / "returns.parquet", returns.assign(window=half))
    text = page(left)
    assert "Total return over all windows" in text
    assert "12.34" in Page(text).words["windows"]
    assert text.count('class="cut"') == 2, "a rule where the second window begins, in both charts"


def test_times_of_intraday_bars_are_shown_to_the_minute() -> None:
    assert moment("2019-06-13 18:05:00.000001+00:00") == "2019-06-13 18:05"
    assert moment("2019-06-13 00:00:00.000001+00:00") == "2019-06-13", "the end of a span of daily bars"
    assert moment(None) == moment(pd.NaT) == "–"


def test_the_title_names_the_file() -> None:
    assert origin({"source": "files", "files": {"path": "prices/hourly"}}) == "hourly"
    assert origin({"source": "sample", "files": {"path": "prices"}}) == "sample"
    assert origin({}) == "–"


def test_a_labelled_table_gets_the_page_of_its_predictors(left: Path) -> None:
    shutil.rmtree(left / "reports/metrics/train_agent")
    for path in (left / "reports/backtest").iterdir():
        if path.name != "predictors.json":
            path.unlink()
    write_json(left / "data/clock.json", {"calendar": None, "spacing_minutes": None, "bars_per_year": None})
    record = read_json(left / "reports/records/ingest/record.json")
    record["params"]["data"]["source"] = "labelled"
    write_json(left / "reports/records/ingest/record.json", record)
    parsed = Page(page(left))
    sections = [attributes["id"] for tag, attributes in parsed.tags if tag == "section"]
    assert sections == ["verdict", "predictors", "quality", "trials", "environment"]
    assert "no agent is" in "".join(parsed.words.values())


def test_a_long_list_of_trades_is_cut_and_says_so(left: Path) -> None:
    ledgers = pd.read_parquet(left / "reports/backtest/ledgers.parquet")
    busy = ledgers.assign(order_shares=1.0, order_price=ledgers["close"].fillna(1.0))
    write_table(left / "reports/backtest/ledgers.parquet", busy)
    text = Page(page(left)).words["trades"]
    total = int((busy["policy"] == "agent").sum() + ((busy["policy"] == "agent") & (busy["exit_shares"] != 0)).sum())
    assert f"{total} fills" in text
    assert f"The newest 200 are shown, {total - 200} are left out" in text
