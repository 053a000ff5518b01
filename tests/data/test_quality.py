"""Every kind of defect is found with its rows, and the clean sample has none."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from MLOps.data.bars import PRICES, VALUES
from MLOps.data.clock import Clock
from MLOps.data.quality import Finding, QualityReport, assess
from MLOps.data.quality_report import as_html, as_markdown
from MLOps.data.sources import SAMPLE
from MLOps.data.sources.files import bars_from_file
from MLOps.data.sources.sample import bundled_bars
from MLOps.errors import UserError

ROWS = (120, 300, 301, 777)  # of a table of two symbols with 500 bars each
Inject = Callable[[pd.DataFrame], pd.DataFrame]


def judged(bars: pd.DataFrame, calendar: str | None = "XNYS") -> QualityReport:
    """The report on bars in contract form, whose clock is taken from themselves."""
    return assess(bars, Clock.of(bars, calendar))


@pytest.fixture(scope="module")
def clean() -> pd.DataFrame:
    bars = bundled_bars()
    bars = bars[bars["symbol"].isin(["IBM", "MSFT"]) & (bars["timestamp"] >= "2008-01-01")]
    return bars.groupby("symbol").head(500).reset_index(drop=True)


def _set(column: str, values: object, rows: tuple[int, ...] = ROWS) -> Inject:
    def inject(bars: pd.DataFrame) -> pd.DataFrame:
        bars = bars.copy()
        bars.loc[list(rows), column] = values
        return bars

    return inject


def _scaled(columns: tuple[str, ...], factor: float, rows: slice | list[int]) -> Inject:
    def inject(bars: pd.DataFrame) -> pd.DataFrame:
        bars = bars.copy()
        bars.iloc[rows, [bars.columns.get_loc(column) for column in columns]] *= factor
        return bars

    return inject


def _copy(columns: tuple[str, ...], to: list[int], of: list[int]) -> Inject:
    def inject(bars: pd.DataFrame) -> pd.DataFrame:
        bars = bars.copy()
        bars.loc[to, list(columns)] = bars.loc[of, list(columns)].to_numpy()
        return bars

    return inject


def _stale(bars: pd.DataFrame) -> pd.DataFrame:
    bars = bars.copy()
    bars.loc[200:206, list(PRICES)] = bars["close"][200]
    return bars


def _duplicated(bars: pd.DataFrame) -> pd.DataFrame:
    return bars.loc[sorted([*range(len(bars)), *ROWS])].reset_index(drop=True)


def _out_of_order(bars: pd.DataFrame) -> pd.DataFrame:
    order = [*range(120), *range(121, 125), 120, *range(125, len(bars))]
    return bars.iloc[order].reset_index(drop=True)


def _shifted(hours: int) -> Inject:
    def inject(bars: pd.DataFrame) -> pd.DataFrame:
        moved = np.isin(bars.index, ROWS) * np.timedelta64(hours, "h")
        return bars.assign(timestamp=bars["timestamp"] + moved)

    return inject


def _on_day(day: str) -> Inject:
    def inject(bars: pd.DataFrame) -> pd.DataFrame:
        extra = bars[bars["symbol"] == "IBM"].head(1).assign(timestamp=pd.Timestamp(day, tz="UTC"))
        prices = bars[(bars["symbol"] == "IBM") & (bars["timestamp"] < day)].iloc[-1]
        extra = extra.assign(**{name: prices[name] * 1.001 for name in VALUES})
        return pd.concat([bars, extra]).sort_values(["symbol", "timestamp"], ignore_index=True)

    return inject


def _rows(*numbers: int) -> Callable[[pd.DataFrame], list[str]]:
    return lambda clean: [f"{clean['symbol'][n]} {clean['timestamp'][n].isoformat()}" for n in numbers]


AT = _rows(*ROWS)
SUNDAY, HOLIDAY = (lambda _: ["IBM 2008-06-01T00:00:00+00:00"]), (lambda _: ["IBM 2008-07-04T00:00:00+00:00"])
# What is injected; under which name it must be found; at which rows.
DEFECTS: dict[str, tuple[Inject, str, Callable[[pd.DataFrame], list[str]]]] = {
    "column gone": (lambda bars: bars.drop(columns="low"), "missing column", lambda _: ["low"]),
    "prices as text": (lambda bars: bars.astype({"low": "str"}), "wrong type", lambda _: ["low"]),
    "times without zone": (
        lambda bars: bars.assign(timestamp=bars["timestamp"].dt.tz_localize(None)),
        "wrong type",
        lambda _: ["timestamp"],
    ),
    "times in another zone": (
        lambda bars: bars.assign(timestamp=bars["timestamp"].dt.tz_convert("Asia/Tokyo")),
        "wrong type",
        lambda _: ["timestamp"],
    ),
    "gaps in a price": (_set("close", np.nan), "empty value", AT),
    "infinite price": (_set("high", np.inf), "value not finite", AT),
    "price of 0": (_set("low", 0.0), "price not positive", AT),
    "negative price": (_set("open", -3.0), "price not positive", AT),
    "negative volume": (_set("volume", -1.0), "negative volume", AT),
    "duplicates": (_duplicated, "duplicate bar", AT),
    "row too late": (_out_of_order, "row out of order", _rows(120)),
    "high below the close": (_scaled(("high",), 0.9, list(ROWS)), "high or low inside the bar", AT),
    "low above the close": (_scaled(("low",), 1.1, list(ROWS)), "high or low inside the bar", AT),
    "unadjusted split": (_scaled(PRICES, 0.5, slice(200, 500)), "split-like jump", _rows(200)),
    "unadjusted reverse split": (_scaled(PRICES, 10.0, slice(200, 500)), "price in another unit", _rows(200)),
    "price in hundredths": (_scaled(PRICES, 100.0, [120, 777]), "price spike", _rows(120, 777)),
    "bad tick": (_scaled(PRICES, 0.4, [120, 777]), "price spike", _rows(120, 777)),
    "feed stood still": (_stale, "dead feed", _rows(*range(201, 207))),
    "bar filled in": (_copy(VALUES, [120, 777], [119, 776]), "copied bar", _rows(120, 777)),
    "another symbol's bar": (_copy(VALUES, [120], [620]), "bar of another symbol", _rows(120, 620)),
    "no volume": (_set("volume", 0.0), "bar without volume", AT),
    "volume in lots": (_scaled(("volume",), 100.0, [120, 777]), "volume out of all proportion", _rows(120, 777)),
    "session gone": (lambda bars: bars.drop(index=list(ROWS)).reset_index(drop=True), "missing bar", AT),
    "bar on a Sunday": (_on_day("2008-06-01"), "bar on a day without a session", SUNDAY),
    "bar on a holiday": (_on_day("2008-07-04"), "bar on a day without a session", HOLIDAY),
    "summer time in daily bars": (
        _shifted(1),
        "odd time of day",
        lambda clean: [row.replace("T00", "T01") for row in AT(clean)],
    ),
    "symbol spelt otherwise": (_set("symbol", "ibm ", (120,)), "symbol spelt in two ways",
                               lambda clean: ["ibm  " + clean["timestamp"][120].isoformat()]),
}  # fmt: skip


def find(bars: pd.DataFrame, check: str, calendar: str | None = "XNYS") -> Finding:
    found = {finding.check: finding for finding in judged(bars, calendar).findings}
    assert check in found, f"{check!r} not in {list(found)}"
    return found[check]


@pytest.mark.parametrize("defect", DEFECTS)
def test_an_injected_defect_is_found_with_its_rows(defect: str, clean: pd.DataFrame) -> None:
    inject, check, rows = DEFECTS[defect]
    report = assess(inject(clean), Clock.of(clean, "XNYS"))
    finding = next((f for f in report.findings if f.check == check), None)
    assert finding is not None, [f.check for f in report.findings]
    assert list(finding.rows) == rows(clean)
    assert finding.severity in ("error", "warning")
    assert finding.advice
    assert report.score < 1


def test_at_least_twenty_kinds_are_injected() -> None:
    assert len(DEFECTS) >= 20


@pytest.mark.parametrize("calendar", ["XNYS", "auto", None])
@pytest.mark.parametrize("raw", [True, False])
def test_the_clean_sample_has_one_finding_which_is_true(raw: bool, calendar: str | None) -> None:
    report = judged(bars_from_file(SAMPLE) if raw else bundled_bars(), calendar)
    # Apple's profit warning: the stock halved overnight.
    assert [(f.check, f.rows) for f in report.findings if f.severity != "info"] == [
        ("split-like jump", ("AAPL 2000-09-29T00:00:00+00:00",))
    ]
    assert report.score > 0.9999
    (jump,) = (f for f in report.findings if f.severity != "info")
    assert ("add an adj_close column" in jump.advice) == (not raw), "the raw sample has that column"


def test_both_pages_tell_every_finding(clean: pd.DataFrame) -> None:
    report = judged(_set("volume", 0.0)(_scaled(PRICES, 0.5, slice(200, 500))(clean)))
    for page in (as_markdown(report, 0.8), as_html(report, 0.8)):
        assert "at or above the threshold of 0.8" in page
        for finding in report.findings:
            assert finding.check in page
            assert finding.rows[0] in page
    assert "below the threshold" in as_markdown(report, 1.0)
    assert "<script>" not in as_html(judged(clean.assign(symbol="<script>"), None), 0.8)


def test_the_unadjusted_sample_has_its_true_splits() -> None:
    raw = pd.read_csv("data/sample/bars.csv.gz", parse_dates=["date"]).rename(columns={"date": "timestamp"})
    raw = raw.drop(columns="adj_close").astype({"volume": "float64"})
    raw["timestamp"] = raw["timestamp"].dt.tz_localize("UTC")
    found = find(raw, "split-like jump").rows
    # Apple's two for one of 2000 and 2005 (and its fall by half in September 2000), Microsoft's of 2003.
    assert {
        "AAPL 2000-06-21T00:00:00+00:00",
        "AAPL 2005-02-28T00:00:00+00:00",
        "MSFT 2003-02-18T00:00:00+00:00",
    } <= set(found)


def intraday(day_hours: dict[str, tuple[str, str]]) -> pd.DataFrame:
    """Half-hour bars of the New York sessions, in UTC."""
    stamps = [
        stamp
        for day, (begin, end) in day_hours.items()
        for stamp in pd.date_range(f"{day} {begin}", f"{day} {end}", freq="30min", inclusive="left", tz="UTC")
    ]
    price = 100 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.002, len(stamps))))
    return pd.DataFrame(
        {
            "timestamp": pd.DatetimeIndex(stamps).astype("datetime64[us, UTC]"),
            "symbol": "A",
            "open": price,
            "high": price * 1.001,
            "low": price * 0.999,
            "close": price * 1.0002,
            "volume": np.arange(1000.0, 1000 + len(stamps)),
        }
    )


# Summer time begins on 10 March 2024; 3 July closes at 13:00 in New York.
WINTER, SUMMER = ("14:30", "21:00"), ("13:30", "20:00")
MARCH = {"2024-03-07": WINTER, "2024-03-08": WINTER, "2024-03-11": SUMMER, "2024-03-12": SUMMER}
JULY = {"2024-07-02": SUMMER, "2024-07-03": ("13:30", "17:00"), "2024-07-05": SUMMER}


def test_sessions_across_summer_time_and_an_early_close_are_clean() -> None:
    for days in (MARCH, JULY):
        assert judged(intraday(days)).findings == ()


def test_times_that_ignore_summer_time_are_found() -> None:
    wrong = intraday({**MARCH, "2024-03-11": WINTER})
    finding = find(wrong, "session an hour off")
    assert (finding.count, finding.rows[0]) == (13, "A 2024-03-11T14:30:00+00:00")


def test_bars_after_an_early_close_are_found() -> None:
    finding = find(intraday({**JULY, "2024-07-03": ("13:30", "18:00")}), "bar outside the session")
    assert finding.rows == ("A 2024-07-03T17:00:00+00:00", "A 2024-07-03T17:30:00+00:00")


def test_missing_intraday_bars_are_found() -> None:
    bars = intraday(JULY)
    finding = find(bars.drop(index=[5, 6]).reset_index(drop=True), "missing bar of all symbols")
    assert finding.rows == ("A 2024-07-02T16:00:00+00:00", "A 2024-07-02T16:30:00+00:00")


def test_a_market_without_closing_time() -> None:
    days = {f"2024-01-{day:02}": ("00:00", "23:59") for day in range(1, 15)}
    bars = intraday(days)
    assert judged(bars, "24/7").findings == ()
    assert find(bars.drop(index=[100]).reset_index(drop=True), "missing bar of all symbols", "24/7").count == 1


def test_an_unknown_calendar_is_told(clean: pd.DataFrame) -> None:
    with pytest.raises(UserError, match=r"data.calendar: no calendar is called 'XNYC'; did you mean 'XNYS'\?"):
        judged(clean, "XNYC")
