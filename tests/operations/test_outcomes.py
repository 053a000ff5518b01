"""Outcomes of recorded decisions, and the comparison of versions by them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from MLOps.config.trading import TradingConfig
from MLOps.errors import UserError
from MLOps.operations.live_comparison import compare_live
from MLOps.operations.outcomes import OUTCOMES, join_outcomes, outcomes, read_decisions
from MLOps.reporting.live_comparison import write_comparison
from MLOps.trading import Market, simulate
from tests.evaluation.markets import random_walk


def decisions_of(bars: pd.DataFrame, **columns: object) -> pd.DataFrame:
    """One decision a bar, an hour after the next began: long by the whole equity, ordered anew at each."""
    next_bars = bars.groupby("symbol")["timestamp"].shift(-1).fillna(bars["timestamp"])
    given = {
        "time": next_bars + pd.Timedelta(hours=1), "portfolio": False, "account": None,
        "request": [f"r{n}" for n in range(len(bars))], "role": "answered", "version": "1", "bundle": "b",
        "fill": "next_open", "cost_bps": 0.0,
        "equity": 1000.0, "action": "1", "order_shares": 0.0,
    }  # fmt: skip
    table = bars[["symbol", "timestamp", "close"]].assign(**given, target_position=1000.0 / bars["close"])
    return table.assign(**columns)


def test_outcomes_add_up_to_the_equity_of_a_backtest() -> None:
    """Random orders of one account, of which the ledger tells the positions: what they earned, at the opens."""
    bars, generator = random_walk(1, 120, seed=5), np.random.default_rng(0)
    trading = TradingConfig(
        scheme="weights", account="per_symbol", fee_bps=30.0, slippage_bps=0.0, borrow_bps_per_year=0.0,
        initial_cash=1e5, rebalance_band=0.0,
    )  # fmt: skip
    constant = bars[["timestamp", "symbol"]].assign(constant=np.float32(0))
    ledger = simulate(
        lambda observations, symbols, bar: generator.uniform(-0.9, 0.9, len(symbols)),
        Market.from_tables(bars, constant),
        trading,
    ).to_frame()
    held = ledger["position"].to_numpy()
    after = np.append(held[1:], np.nan)
    decisions = decisions_of(
        bars,
        equity=ledger["equity"].to_numpy(),
        target_position=after,
        order_shares=after - held,
        cost_bps=trading.fee_bps,
    )
    known = outcomes(decisions, bars)
    assert len(known) == len(bars) - 2
    gained = float((known["earned"] * known["equity"]).sum())
    last_close, last_open = bars["close"].iloc[-2], bars["open"].iloc[-1]
    equity = float(ledger["equity"].iloc[-2])
    assert np.abs(held).max() > 100
    # The last position of them is valued at the open after the last close.
    assert 1e5 + gained == pytest.approx(equity + held[-2] * (last_open - last_close), rel=1e-9)


def test_a_split_between_decision_and_outcome_changes_nothing() -> None:
    bars = random_walk(2, 40, seed=6)
    decisions = decisions_of(bars)
    split = bars.assign(**{name: bars[name] / 4 for name in ("open", "high", "low", "close")})
    np.testing.assert_allclose(outcomes(decisions, split)["earned"], outcomes(decisions, bars)["earned"], rtol=1e-12)


def test_fills_at_the_close_earn_from_the_close() -> None:
    bars = random_walk(1, 40, seed=6)
    known = outcomes(decisions_of(bars, fill="close"), bars)
    np.testing.assert_allclose(known["earned"], bars["close"].pct_change().iloc[1:-1])


@pytest.mark.parametrize("fill", ["next_open", "close"])
@pytest.mark.parametrize("frequency", ["B", "h", "5min"])
def test_only_decisions_made_in_time_have_an_outcome(fill: str, frequency: str) -> None:
    """Bars with outages and unlike ends; in time until the bar comes at which the position is left."""
    bars = random_walk(3, 60, seed=8, frequency=frequency)
    away = np.random.default_rng(0).random(len(bars)) < 0.2
    bars = bars[~away & ~((bars["symbol"] == "S01") & (bars.index % 60 > 40))].reset_index(drop=True)
    leaving = bars.groupby("symbol")["timestamp"].shift(-2)
    in_time = decisions_of(bars, fill=fill, time=leaving.fillna(bars["timestamp"]) - pd.Timedelta(microseconds=1))
    assert list(outcomes(in_time, bars)["request"]) == list(in_time.loc[leaving.notna(), "request"])
    assert outcomes(decisions_of(bars, fill=fill, time=leaving.fillna(bars["timestamp"])), bars).empty


def test_replayed_decisions_are_counted_and_left_out(tmp_path: Path) -> None:
    bars = random_walk(1, 40, seed=8)
    replayed = decisions_of(bars, time=bars["timestamp"].max() + pd.Timedelta(days=9))
    pd.concat([decisions_of(bars), replayed]).to_parquet(tmp_path / "decisions-1-a-0.parquet", index=False)
    joined = join_outcomes(tmp_path, bars)
    assert (joined.decisions, joined.waiting, joined.too_late, len(joined.outcomes)) == (80, 4, 38, 38)


def test_outcomes_of_deleted_decisions_are_kept(tmp_path: Path) -> None:
    bars = random_walk(2, 40, seed=7)
    decisions = decisions_of(bars).sort_values("time", kind="stable", ignore_index=True)
    for number, rows in enumerate((decisions.iloc[:30], decisions.iloc[30:])):
        rows.to_parquet(tmp_path / f"decisions-{number}.parquet", index=False)
    until = bars["timestamp"].unique()[25]
    join_outcomes(tmp_path, bars[bars["timestamp"] <= until].reset_index(drop=True))
    (tmp_path / "decisions-0.parquet").unlink()
    joined = join_outcomes(tmp_path, bars)
    pd.testing.assert_frame_equal(joined.outcomes, outcomes(decisions, bars))
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / OUTCOMES), joined.outcomes)


def test_a_file_that_is_deleted_while_the_record_is_read_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "decisions-0.parquet").symlink_to(tmp_path / "deleted")
    with pytest.raises(UserError, match="expected a record of decisions"):
        read_decisions(tmp_path)
    decisions_of(random_walk(1, 10, seed=7)).to_parquet(tmp_path / "decisions-1.parquet", index=False)
    assert len(read_decisions(tmp_path)) == 10


def test_outcomes_come_with_the_bars(tmp_path: Path) -> None:
    folder = tmp_path
    bars = random_walk(2, 40, seed=7)
    with pytest.raises(UserError, match="expected a record of decisions"):
        read_decisions(folder)
    decisions = decisions_of(bars)
    decisions.iloc[:30].to_parquet(folder / "decisions-1-a-0.parquet", index=False)
    decisions.iloc[30:].to_parquet(folder / "decisions-2-b-0.parquet", index=False)
    clock = bars["timestamp"].unique()
    for until, known in ((clock[10], 2 * 9), (clock[-1], 2 * 38)):
        joined = join_outcomes(folder, bars[bars["timestamp"] <= until].reset_index(drop=True))
        assert (joined.decisions, len(joined.outcomes), joined.waiting, joined.too_late) == (80, known, 80 - known, 0)
        assert len(pd.read_parquet(folder / OUTCOMES)) == known
    assert len(read_decisions(folder)) == 80, "the outcomes are no decisions"


def earned(days: int, edge: float, noise: float, role: str, seed: int = 0) -> pd.DataFrame:
    """Two versions, two bars a day, two symbols; version 2 has an edge. They share the market's moves."""
    generator = np.random.default_rng(seed)
    stamps = np.repeat(pd.date_range("2022-01-03 10:00", periods=days, freq="D", tz="UTC"), 2)
    stamps = stamps + pd.to_timedelta(np.tile([0, 4], days), unit="h")
    tables = []
    for symbol in ("A", "B"):
        market = generator.normal(0, 0.02, len(stamps))
        for version in ("1", "2"):
            own = market + generator.normal(edge if version == "2" else 0.0, noise, len(stamps))
            tables.append(
                pd.DataFrame(
                    {
                        "timestamp": stamps,
                        "symbol": symbol,
                        "request": [f"{stamp}" if role == "shadow" else f"{stamp} {version}" for stamp in stamps],
                        "version": version,
                        "role": role if version == "2" else "answered",
                        "portfolio": False,
                        "earned": own,
                    }
                )
            )
    return pd.concat(tables, ignore_index=True)


def test_a_better_candidate_is_found_in_the_shadow_though_the_market_is_noisy() -> None:
    table = earned(200, edge=0.001, noise=0.002, role="shadow")
    found = compare_live(table, "2", "1")
    assert (found.verdict, found.paired, found.decisions) == ("better", True, 1592), "the newest day is not over"
    assert found.lower[-1] > 0
    turned = compare_live(table, "1", "2")
    assert turned.verdict == "worse"
    np.testing.assert_allclose(turned.differences, -found.differences)
    # Asked again, the same requests count once.
    again = compare_live(pd.concat([table, table]), "2", "1")
    np.testing.assert_array_equal(again.lower, found.lower)


def test_accounts_of_both_sides_are_compared_bar_by_bar() -> None:
    found = compare_live(earned(200, edge=0.001, noise=0.002, role="answered"), "2", "1")
    assert (found.verdict, found.paired, len(found.days)) == ("better", False, 199)


def test_a_few_requests_in_the_shadow_do_not_hide_a_split() -> None:
    split = earned(200, edge=0.001, noise=0.002, role="answered")
    shadow = earned(1, edge=0.001, noise=0.002, role="shadow", seed=1)
    found = compare_live(pd.concat([split, shadow], ignore_index=True), "2", "1")
    assert (found.verdict, found.paired, len(found.days)) == ("better", False, 199)
    shadow = earned(200, edge=0.001, noise=0.002, role="shadow")
    split = earned(1, edge=0.001, noise=0.002, role="answered", seed=1)
    found = compare_live(pd.concat([split, shadow], ignore_index=True), "2", "1")
    assert (found.verdict, found.paired, len(found.days)) == ("better", True, 199)


@pytest.mark.parametrize("role", ["shadow", "answered"])
def test_a_portfolio_earns_the_sum_over_its_symbols(role: str) -> None:
    table = earned(50, edge=0.001, noise=0.002, role=role)
    mean, total = (compare_live(table.assign(portfolio=portfolio), "2", "1") for portfolio in (False, True))
    np.testing.assert_allclose(total.differences, 2 * mean.differences)
    assert total.decisions == mean.decisions
    # A second portfolio at the same bars is another account, not a part of the first.
    second = table.assign(portfolio=True, request=table["request"] + " again")
    both = compare_live(pd.concat([table.assign(portfolio=True), second], ignore_index=True), "2", "1")
    np.testing.assert_allclose(both.differences, total.differences)


def test_equal_versions_and_few_days_are_undecided() -> None:
    assert compare_live(earned(200, edge=0.0, noise=0.002, role="shadow"), "2", "1").verdict == "undecided"
    few = compare_live(earned(20, edge=0.01, noise=0.002, role="shadow"), "2", "1")
    assert few.verdict == "undecided"
    assert few.as_dict()["lower"] is None
    assert "bounds from 30 days on" in few.words


def test_a_verdict_is_not_taken_back() -> None:
    good = earned(100, edge=0.002, noise=0.002, role="shadow")
    bad = earned(100, edge=-0.003, noise=0.002, role="shadow", seed=1)
    bad["timestamp"] += pd.Timedelta(days=100)
    bad["request"] += " later"
    assert compare_live(pd.concat([good, bad]), "2", "1").verdict == "better"


def test_the_newest_day_counts_once_it_is_over() -> None:
    """Half a day may say what the whole does not."""
    hourly = earned(40, edge=0.001, noise=0.002, role="shadow")
    last = hourly["timestamp"] == hourly["timestamp"].max()
    later = hourly[last].assign(timestamp=hourly["timestamp"] + pd.Timedelta(hours=5), request="later", earned=-1.0)
    found = [compare_live(table, "2", "1") for table in (hourly, pd.concat([hourly, later]))]
    assert found[0].as_dict() == found[1].as_dict()
    assert len(found[0].days) == 39


def test_versions_that_never_met_are_told() -> None:
    table = earned(50, edge=0.0, noise=0.002, role="shadow")
    with pytest.raises(UserError, match="no outcome at the same bar"):
        compare_live(table, "2", "7")
    with pytest.raises(UserError, match="expected two versions, found 2 twice"):
        compare_live(table, "2", "2")


def test_the_page_shows_verdict_and_sequence(tmp_path: Path) -> None:
    found = compare_live(earned(100, edge=0.001, noise=0.002, role="shadow"), "2", "1")
    bounds = np.stack([found.lower, found.upper])
    page = write_comparison(tmp_path, found.as_dict(), found.words, found.days, found.differences, bounds)
    text = page.read_text()
    assert text.count("<figure>") == 2
    assert "version 2 earns more than version 1" in text
