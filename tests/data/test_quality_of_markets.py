"""On unlike markets a planted error is found with its rows and stops the run; where none is planted none is found."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from MLOps.data.bars import ADJUSTED_CLOSE, PRICES
from MLOps.data.clock import Clock
from MLOps.data.quality import WRONG_CALENDAR, QualityReport, assess, without_bars_of
from MLOps.errors import UserError
from tests.data.markets import (
    MARKETS,
    Market,
    daily_stocks,
    five_minutes_with_outages,
    hourly_crypto,
    one_symbol,
    thirty_stocks,
)

CALENDARS = {"hourly crypto": "24/7", "five minutes with outages": "24/7"}  # of the others: XNYS
Plant = Callable[[pd.DataFrame, int], pd.DataFrame]


def without_adjusted(seed: int) -> pd.DataFrame:
    """As if prices had been adjusted before: the split and the dividends are out of them."""
    bars = daily_stocks(seed, 2)
    ratio = bars[ADJUSTED_CLOSE] / bars["close"]
    return bars.assign(**{name: bars[name] * ratio for name in PRICES}).drop(columns=ADJUSTED_CLOSE)


def cases() -> dict[str, tuple[Market, str]]:
    return {
        "daily, adjusted close": (lambda seed: daily_stocks(seed, 2), "XNYS"),
        "daily": (without_adjusted, "XNYS"),
        "hourly, around the clock": (lambda seed: hourly_crypto(seed, 2, 60), "24/7"),
        "five minutes, with outages": (lambda seed: five_minutes_with_outages(seed, days=10), "24/7"),
        "hourly, one symbol": (one_symbol, "XNYS"),
    }


def scaled(columns: tuple[str, ...], factor: float, bars_long: int = 1) -> Plant:
    def plant(bars: pd.DataFrame, row: int) -> pd.DataFrame:
        bars = bars.copy()
        bars.loc[row : row + bars_long - 1, [name for name in columns if name in bars.columns]] *= factor
        return bars

    return plant


def exchanged(bars: pd.DataFrame, row: int) -> pd.DataFrame:
    bars = bars.copy()
    bars.loc[row, ["low", "volume"]] = bars.loc[row, ["volume", "low"]].to_numpy()
    return bars


def frozen(bars: pd.DataFrame, row: int) -> pd.DataFrame:
    bars = bars.copy()
    bars.loc[row + 1 : row + 24, list(PRICES)] = bars.loc[row, "close"]
    if ADJUSTED_CLOSE in bars.columns:
        bars.loc[row + 1 : row + 24, ADJUSTED_CLOSE] = bars.loc[row, ADJUSTED_CLOSE]
    return bars


def repeated(bars: pd.DataFrame, row: int) -> pd.DataFrame:
    """The feed sends its last bar again and again."""
    bars = bars.copy()
    values = [name for name in bars.columns if name not in ("timestamp", "symbol")]
    bars.loc[row + 1 : row + 24, values] = bars.loc[row, values].to_numpy()
    return bars


def high_below_low(bars: pd.DataFrame, row: int) -> pd.DataFrame:
    bars = bars.copy()
    bars.loc[row, ["high", "low"]] = bars.loc[row, ["low", "high"]].to_numpy()
    return bars


WHOLE = (*PRICES, ADJUSTED_CLOSE)
PLANTED: dict[str, tuple[Plant, set[str]]] = {
    # What is planted at a row; under which of these names it must be found there, as an error.
    "bar times ten": (scaled(WHOLE, 10.0), {"price spike", "price in another unit"}),
    "bar by ten": (scaled(WHOLE, 0.1), {"price spike", "price in another unit"}),
    "close times ten": (scaled(("close", ADJUSTED_CLOSE), 10.0), {"high or low inside the bar"}),
    "high times a thousand": (scaled(("high",), 1000.0), {"stray high or low"}),
    "low by a hundred": (scaled(("low",), 0.01), {"stray high or low"}),
    "high below low": (high_below_low, {"high or low inside the bar"}),
    "low and volume exchanged": (exchanged, {"high or low inside the bar", "stray high or low"}),
    "three bars in hundredths": (scaled(WHOLE, 100.0, bars_long=3), {"price in another unit"}),
    "dead feed": (frozen, {"dead feed"}),
    "last bar again and again": (repeated, {"dead feed"}),
}


def places(bars: pd.DataFrame) -> dict[str, int]:
    """Rows of the first symbol in its middle, at its first and at its last bar, and its second symbol's middle."""
    of_first = int((bars["symbol"] == bars["symbol"].iloc[0]).sum())
    return {"middle": of_first // 2, "first": 0, "last": of_first - 1, "second symbol": len(bars) - of_first // 2}


def stamp(bars: pd.DataFrame, row: int) -> str:
    return f"{bars['symbol'][row]} {bars['timestamp'][row].isoformat()}"


def errors(report: QualityReport) -> dict[str, tuple[str, ...]]:
    return {finding.check: finding.rows for finding in report.of_severity("error")}


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize("case", cases())
def test_a_planted_error_is_found_at_its_row_and_stops_the_run(case: str, planted: str) -> None:
    make, calendar = cases()[case]
    clean = make(1)
    plant, names = PLANTED[planted]
    for place, row in places(clean).items():
        if place in ("first", "last") and planted not in ("bar times ten", "bar by ten", "high times a thousand"):
            continue
        bars = plant(clean, row)
        report = assess(bars, Clock.of(bars, calendar))
        # A first bar is far from the second, and from none before it: the jump is told where it shows.
        told = stamp(clean, row + (1 if planted in ("dead feed", "last bar again and again") else 0))
        nearby = {told, stamp(clean, row + 1)} if place == "first" else {told}
        found = {name: rows for name, rows in errors(report).items() if nearby & set(rows)}
        assert names & set(found), (place, told, errors(report))
        assert report.score > 0.8, "the score alone would let it pass"
        reason = report.refusal(0.8)
        assert any(name in reason for name in names), reason
        assert "\n" not in reason


@pytest.mark.parametrize("factor", [4000.0, 1 / 4000, 100.0])
@pytest.mark.parametrize("case", cases())
def test_a_change_of_the_unit_of_volume_is_found_at_its_bar(case: str, factor: float) -> None:
    make, calendar = cases()[case]
    clean = make(2)
    of_first = int((clean["symbol"] == clean["symbol"].iloc[0]).sum())
    for row in (of_first // 2, of_first * 3 // 4):
        bars = clean.copy()
        bars.loc[row : of_first - 1, "volume"] *= factor
        found = errors(assess(bars, Clock.of(bars, calendar)))
        assert found == {"volume unit change": (stamp(clean, row),)}, (row, found)


def test_the_volume_of_a_split_is_no_other_unit() -> None:
    """At a split of 50:1 raw prices fall to a fiftieth and 50 times as many shares change hands; the ratio tells it."""
    bars = daily_stocks(1, 1)
    before = np.arange(len(bars)) < 500
    bars[list(PRICES)] = bars[list(PRICES)].mul(np.where(before, 50.0, 1.0), axis=0)
    bars["volume"] /= np.where(before, 50.0, 1.0)
    assert errors(assess(bars, Clock.of(bars, "XNYS"))) == {}
    assert "volume unit change" in errors(assess(bars.drop(columns=ADJUSTED_CLOSE), Clock.of(bars, "XNYS")))


@pytest.mark.parametrize("case", ["daily, adjusted close"])
def test_an_adjusted_close_that_leaves_its_ratio_for_one_bar_is_found(case: str) -> None:
    clean = cases()[case][0](1)
    for factor in (10.0, 0.9, 1.05):
        bars = clean.copy()
        bars.loc[300, ADJUSTED_CLOSE] *= factor
        assert "adjusted close out of step" in errors(assess(bars, Clock.of(bars, "XNYS")))
    # Ten times the whole raw bar, whose adjusted close stayed right, shows in the ratio alone.
    raw = scaled(PRICES, 10.0)(clean, 300)
    assert errors(assess(raw, Clock.of(raw, "XNYS"))) == {"adjusted close out of step": (stamp(clean, 300),)}


@pytest.mark.parametrize("spoil", [high_below_low, exchanged])
def test_columns_exchanged_in_every_row_are_found(spoil: Plant) -> None:
    for make, calendar in cases().values():
        bars = make(1)
        swapped = {"high": "low", "low": "high"} if spoil is high_below_low else {"low": "volume", "volume": "low"}
        bars = bars.rename(columns=swapped)[bars.columns]
        found = assess(bars, Clock.of(bars, calendar)).of_severity("error")
        broken = sum(f.count for f in found if f.check in ("high or low inside the bar", "stray high or low"))
        assert broken >= 0.99 * len(bars), [(f.check, f.count) for f in found]


def test_neighbours_are_found_in_bars_out_of_order_and_repeated() -> None:
    clean = daily_stocks(1).drop(columns=ADJUSTED_CLOSE)
    clean = clean[clean["symbol"] != "S00"].reset_index(drop=True)
    bars = scaled(PRICES, 10.0)(clean, 300)
    shuffled = pd.concat([bars, bars.iloc[[299, 300, 301]]]).sample(frac=1, random_state=0).reset_index(drop=True)
    found = errors(assess(shuffled, Clock.of(clean, "XNYS")))
    assert found["price spike"] == (stamp(clean, 300),)
    # A missing neighbour changes nothing: the next bar there is takes its place.
    gone = bars.drop(index=[299, 301]).reset_index(drop=True)
    assert errors(assess(gone, Clock.of(clean, "XNYS")))["price spike"] == (stamp(clean, 300),)


def test_a_jump_over_a_long_outage_is_no_unit_of_its_own() -> None:
    bars = hourly_crypto(3, symbols=1)
    gone = bars.drop(index=range(500, 1500)).reset_index(drop=True)
    gone.loc[500:, list(PRICES)] *= 3.0
    assert errors(assess(gone, Clock.of(gone, "24/7"))) == {}


def test_outages_and_halts_are_warnings_with_their_rows() -> None:
    bars = five_minutes_with_outages(4)
    report = assess(bars, Clock.of(bars, "24/7"))
    found = {f.check: f for f in report.of_severity("warning")}
    at_once = bars["timestamp"].min() + 2000 * pd.Timedelta(minutes=5)
    assert any(at_once.isoformat() in row for row in found["missing bar of all symbols"].rows)
    assert found["missing bar"].count >= 18
    assert report.refusal(0.8) == ""
    strict = assess(bars, Clock.of(bars, "24/7"), on_missing="error")
    assert "missing bar" in errors(strict)
    assert "data.on_missing" in strict.refusal(0.8)


def test_a_symbol_that_often_stands_still_is_no_dead_feed() -> None:
    bars = MARKETS["illiquid"](0)
    bars.loc[201:260, list(PRICES)] = bars.loc[200, "close"]
    report = assess(bars, Clock.of(bars, "XNYS"))
    assert errors(report) == {}
    assert "long standstill" in {f.check for f in report.of_severity("warning")}


@pytest.mark.parametrize("market", MARKETS)
def test_no_error_is_found_where_none_is(market: str) -> None:
    for seed in range(3):
        nothing_wrong(market, seed)


@pytest.mark.slow
@pytest.mark.parametrize("market", MARKETS)
def test_no_error_is_found_where_none_is_in_many_markets(market: str) -> None:
    for seed in range(3, 203):
        nothing_wrong(market, seed)


def nothing_wrong(market: str, seed: int) -> None:
    bars = MARKETS[market](seed)
    report = assess(bars, Clock.of(bars, CALENDARS.get(market, "XNYS")))
    assert errors(report) == {}, seed
    assert report.refusal(0.8) == "", seed


@pytest.mark.parametrize(
    ("make", "configured", "fits"),
    [(hourly_crypto, "XNYS", "24/7"), (daily_stocks, "24/7", "XNYS"), (one_symbol, "24/7", "XNYS")],
)
def test_a_calendar_that_contradicts_the_bars_is_told_first(make: Market, configured: str, fits: str) -> None:
    bars = make(0)
    # With every other kind of finding beside it.
    bars.loc[100, "high"] *= 1000
    report = assess(bars, Clock.of(bars, configured))
    first = report.findings[0]
    assert (first.check, first.severity) == (WRONG_CALENDAR, "error")
    assert "data.calendar" in first.advice
    assert fits in first.advice
    reason = report.refusal(0.8)
    assert reason.index(WRONG_CALENDAR) < reason.index("stray high or low") < reason.index("data.calendar")
    # Nothing else is held against a calendar that does not fit.
    assert report.score > 0.99


def test_a_market_that_no_calendar_fits_is_told_in_the_report() -> None:
    bars = hourly_crypto(0, symbols=1)
    bars = bars[np.random.default_rng(0).random(len(bars)) < 0.5].reset_index(drop=True)
    clock = Clock.of(bars, "auto")
    assert clock.calendar is None
    finding = next(f for f in assess(bars, clock).findings if f.check == "no calendar")
    assert finding.severity == "info"
    assert "data.calendar" in finding.advice


def test_a_finding_that_is_true_is_accepted_by_name() -> None:
    bars = frozen(daily_stocks(1), 200)
    clock = Clock.of(bars, "XNYS")
    report = assess(bars, clock, accepted=["dead feed"])
    assert errors(report) == {}
    (accepted,) = [f for f in report.of_severity("warning") if f.check == "dead feed"]
    assert accepted.advice == "nothing: data.accept_findings has it"
    assert report.refusal(0.8) == ""
    for name, sentence in (
        ("ded feed", "no finding is called 'ded feed'; did you mean 'dead feed'"),
        ("high or low inside the bar", "cannot be accepted: no later stage can use such bars"),
        ("copied bar", "cannot be accepted: it does not stop runs"),
    ):
        with pytest.raises(UserError, match=rf"data\.accept_findings: .*{sentence}"):
            assess(bars, clock, accepted=[name])


def test_the_bars_of_a_finding_are_dropped_by_name() -> None:
    bars = frozen(daily_stocks(1), 200)
    bars.loc[40, "high"] = bars.loc[40, "low"] * 0.9
    clock = Clock.of(bars, "XNYS")
    found = {f.check: f.count for f in assess(bars, clock).of_severity("error")}
    assert set(found) == {"dead feed", "high or low inside the bar"}
    assert "data.drop_findings" in assess(bars, clock).refusal(0.0)
    kept, (told,) = without_bars_of(bars, clock, list(found))
    assert (told.severity, told.count) == ("warning", sum(found.values()))
    assert len(kept) == len(bars) - told.count
    assert errors(assess(kept, clock)) == {}
    pd.testing.assert_frame_equal(without_bars_of(bars, clock, [])[0], bars)
    with pytest.raises(UserError, match=r"data\.drop_findings: .*'ded feed'; did you mean 'dead feed'"):
        without_bars_of(bars, clock, ["ded feed"])
    with pytest.raises(UserError, match="expected a bar without these findings"):
        without_bars_of(bars.assign(high=bars["low"] * 0.9), clock, ["high or low inside the bar"])


@pytest.mark.parametrize("count", [1, 2, 3, 7, 25])
def test_a_few_bars_are_judged_too(count: int) -> None:
    for make, calendar in cases().values():
        bars = make(0).groupby("symbol").head(count).reset_index(drop=True)
        assert errors(assess(bars, Clock.of(bars, calendar))) == {}
        broken = bars.assign(high=np.inf)
        report = assess(broken, Clock.of(bars, calendar))
        assert set(errors(report)) == {"value not finite"}
        assert report.score == 0


def test_bars_without_volume_have_no_finding_above_info() -> None:
    bars = thirty_stocks(0)
    report = assess(bars, Clock.of(bars, "XNYS"))
    assert {f.check for f in report.findings if f.severity != "info"} <= {"long wick"}
    mixed = thirty_stocks(0, volume=True)
    mixed.loc[mixed["symbol"] == "T03", "volume"] = np.nan
    mixed.loc[mixed["symbol"] == "T04", "volume"] = 0.0
    found = {f.check: f.rows for f in assess(mixed, Clock.of(mixed, "XNYS")).findings}
    assert found["symbol without volume"] == ("T03", "T04")
