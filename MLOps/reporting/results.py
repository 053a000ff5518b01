"""The section of the page on the agent: returns, drawdowns, trades, attribution, and the walk-forward windows."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from MLOps.artifacts import read_json, read_table
from MLOps.evaluation.report import AGENT, BUY_AND_HOLD, BacktestReport
from MLOps.reporting.charts import Line, histogram, line_chart
from MLOps.reporting.return_tables import (
    distribution,
    drawdown,
    monthly_returns,
    rolling_bars,
    rolling_sharpe,
    worst_drawdowns,
)
from MLOps.reporting.trading_record import attribution, exposure, fills

FILLS_SHOWN = 200
SYMBOLS_SHOWN = 50
DAYS_PER_YEAR = 365.25
LINES_SHOWN = 5  # of policies in one chart


def results(folder: Path, bars_per_year: int) -> dict[str, Any] | None:
    """What the test span showed, from the files of `backtest`; None if there was no agent."""
    if not (folder / "report.json").exists():
        return None
    report = BacktestReport.from_dict(read_json(folder / "report.json"))
    returns = read_table(folder / "returns.parquet").set_index("timestamp")
    ledgers = read_table(folder / "ledgers.parquet")
    ledger = ledgers[ledgers["policy"] == AGENT]
    own = returns[AGENT]
    window = rolling_bars(len(own), bars_per_year)
    draws = np.array(report.random_total_returns)
    return {
        "agent": report.agent,
        "span": report.span,
        "symbols": sorted(ledger["symbol"].unique()),
        "metrics": report.metrics,
        "own": report.metrics[AGENT],
        "reference": report.metrics.get(BUY_AND_HOLD),
        "excess": report.excess,
        "equity": equity_chart(returns),
        "drawdown": drawdown_chart(returns),
        "rolling": rolling_chart(returns, window, bars_per_year),
        "window": window,
        "window_days": round(window / bars_per_year * DAYS_PER_YEAR),
        "months": months(monthly_returns(own)),
        "drawdowns": worst_drawdowns(own).to_dict("records"),
        "distribution": distribution(own),
        "histogram": histogram(own.to_numpy(), ".1%", "Histogram of the agent's returns per bar"),
        "draws": len(draws),
        "random_rank": report.random_rank,
        "random": histogram(
            draws,
            ".0%",
            "Histogram of the total returns of the same trades at random times, and the agent's",
            mark=report.metrics[AGENT]["total_return"],
        ),
        **trading(ledger),
        "validation_rewards": report.validation_rewards,
    }


def walk_forward(folder: Path) -> dict[str, Any] | None:
    """The windows, from the files of `walk_forward`; None if it did not run."""
    if not (folder / "report.json").exists():
        return None
    values = read_json(folder / "report.json")
    windows = values.get("windows", [])
    section: dict[str, Any] = {"windows": windows, "joined": values.get("joined", {})}
    if (folder / "returns.parquet").exists() and len(windows) > 1:
        table = read_table(folder / "returns.parquet")
        returns = table.drop(columns="window").set_index("timestamp")
        starts = table.groupby("window")["timestamp"].first()
        cuts = list(starts.iloc[1:])
        section["equity"] = equity_chart(returns, cuts)
        section["drawdown"] = drawdown_chart(returns, cuts)
    return section


def shown_policies(returns: pd.DataFrame) -> list[str]:
    """The agent, buy and hold, and the first of the others; one that never trades has nothing to draw."""
    moving = [name for name in returns.columns if returns[name].abs().max() > 0]
    ordered = [name for name in (AGENT, BUY_AND_HOLD) if name in moving]
    return (ordered + [name for name in moving if name not in ordered])[:LINES_SHOWN]


def equity_chart(returns: pd.DataFrame, cuts: list[pd.Timestamp] | None = None) -> str:
    lines = [_line(name, (1 + returns[name]).cumprod() - 1) for name in shown_policies(returns)]
    return line_chart(lines, ".0%", "Total return over time, by policy", 300, level=0.0, cuts=cuts or [])


def drawdown_chart(returns: pd.DataFrame, cuts: list[pd.Timestamp] | None = None) -> str:
    names = [name for name in shown_policies(returns) if name in (AGENT, BUY_AND_HOLD)]
    lines = [_line(name, drawdown(returns[name])) for name in names]
    return line_chart(lines, ".0%", "Drawdown over time", 200, level=0.0, filled=True, cuts=cuts or [])


def rolling_chart(returns: pd.DataFrame, window: int, bars_per_year: int) -> str:
    names = [name for name in shown_policies(returns) if name in (AGENT, BUY_AND_HOLD)]
    lines = [_line(name, rolling_sharpe(returns[name], window, bars_per_year)) for name in names]
    return line_chart(lines, ".1f", "Rolling Sharpe ratio over time", 200, level=0.0)


def months(table: pd.DataFrame) -> dict[str, Any]:
    """The monthly returns as rows of cells, each with its share of the largest in size, for shading."""
    largest = float(np.nanmax(np.abs(table[list(range(1, 13))].to_numpy()))) or 1.0

    def cell(value: float) -> dict[str, Any] | None:
        return None if np.isnan(value) else {"value": value, "share": round(min(abs(value) / largest, 1) * 60)}

    return {
        "names": [pd.Timestamp(2000, month, 1).strftime("%b") for month in range(1, 13)],
        "rows": [
            {"year": year, "cells": [cell(row[month]) for month in range(1, 13)], "whole": row["year"]}
            for year, row in table.iloc[::-1].iterrows()
        ],
    }


def trading(ledger: pd.DataFrame) -> dict[str, Any]:
    """Exposure over time, the newest fills, and the gain by symbol."""
    every, shares = fills(ledger), attribution(ledger)
    held = exposure(ledger)
    largest = float(shares.by_symbol["gain"].abs().max()) or 1.0
    gains = shares.by_symbol.assign(width=(shares.by_symbol["gain"].abs() / largest * 100).round(1))
    rows = gains.rename_axis("symbol").reset_index().to_dict("records")
    # Of many symbols the best and the worst.
    half = SYMBOLS_SHOWN // 2
    shown = rows if len(rows) <= SYMBOLS_SHOWN else rows[:half] + rows[-half:]
    return {
        "exposure": line_chart(
            # Without shorts both are the same line.
            [_line("gross and net", held["gross"])]
            if held["gross"].equals(held["net"])
            else [_line("gross", held["gross"]), _line("net", held["net"])],
            ".0%",
            "Gross and net exposure over time",
            200,
            level=0.0,
        ),
        "positions": positions(ledger),
        "fills": every.head(FILLS_SHOWN).to_dict("records"),
        "fills_total": len(every),
        "fill_costs": float(every["cost"].sum()),
        "attribution": shown,
        "symbols_left_out": len(rows) - len(shown),
        "attribution_rest": shares.rest,
        "attribution_total": shares.total,
    }


def positions(ledger: pd.DataFrame) -> list[dict[str, Any]]:
    """What was held after the last bar, at the last known close of each symbol."""
    ledger = ledger.sort_values("timestamp", kind="stable")
    ledger = ledger.assign(close=ledger.groupby("symbol")["close"].ffill())
    last = ledger.groupby("symbol").tail(1)
    held = last[last["position"] != 0].sort_values("symbol")
    held = held.assign(value=held["position"] * held["close"], gain=held["close"] / held["entry_price"] - 1)
    held["gain"] *= np.sign(held["position"])
    return held[["symbol", "position", "entry_price", "close", "value", "gain", "holding_bars"]].to_dict("records")


def _line(name: str, values: pd.Series) -> Line:
    index = pd.DatetimeIndex(values.index)
    return Line(name.replace("_", " "), (index.tz_localize(None) if index.tz else index).to_numpy(), values.to_numpy())
