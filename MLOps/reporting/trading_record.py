"""What a ledger's table tells of an agent: its fills with their costs, its exposure, and its gain by symbol."""

from dataclasses import dataclass

import numpy as np
import pandas as pd


def fills(ledger: pd.DataFrame) -> pd.DataFrame:
    """Every fill, newest first: timestamp, symbol, side, kind, shares, price, value and cost, all in money.

    The costs that an account paid in a bar are shared among its fills of that bar by the value traded.

    Args:
        ledger: `Ledger.to_frame` of one policy.
    """
    parts = []
    for kind, text in (("order", "decision"), ("exit", "stop or forced exit")):
        own = ledger[ledger[f"{kind}_shares"] != 0]
        part = own[["timestamp", "symbol", "costs"]].assign(
            kind=text, shares=own[f"{kind}_shares"], price=own[f"{kind}_price"]
        )
        parts.append(part)
    table = pd.concat(parts)
    table["value"] = (table["shares"] * table["price"]).abs()
    table["side"] = np.where(table["shares"] > 0, "buy", "sell")
    account = _account_of(ledger, table)
    traded = table["value"].groupby(account).transform("sum")
    table["cost"] = table["costs"] * np.where(traded > 0, table["value"] / traded.where(traded > 0, 1), 0)
    order = ["timestamp", "symbol", "kind"]
    table = table.sort_values(order, ascending=[False, True, True], kind="stable", ignore_index=True)
    return table[["timestamp", "symbol", "side", "kind", "shares", "price", "value", "cost"]]


def is_portfolio(ledger: pd.DataFrame) -> bool:
    """Whether all symbols share one account, whose columns then repeat for every symbol."""
    account = ledger[["cash", "equity", "costs"]]
    return ledger["symbol"].nunique() > 1 and bool(
        (account.groupby(ledger["timestamp"]).transform("first") == account).to_numpy().all()
    )


def exposure(ledger: pd.DataFrame) -> pd.DataFrame:
    """Gross and net value of the positions over the equity of all accounts, by timestamp."""
    close = ledger.groupby("symbol")["close"].ffill().fillna(0)
    value = (ledger["position"] * close).groupby(ledger["timestamp"])
    gross = (ledger["position"] * close).abs().groupby(ledger["timestamp"]).sum()
    equity = ledger.groupby("timestamp")["equity"]
    capital = equity.first() if is_portfolio(ledger) else equity.sum()
    safe = capital.where(capital > 0)
    return pd.DataFrame({"gross": gross / safe, "net": value.sum() / safe}).fillna(0.0)


@dataclass(frozen=True)
class Attribution:
    """`by_symbol`: gain, share of bars with a position, fills, value traded and their costs; `rest` is the part of the
    total gain that belongs to no symbol: a shared account's fees and borrowing."""

    by_symbol: pd.DataFrame
    rest: float
    total: float


def attribution(ledger: pd.DataFrame) -> Attribution:
    """The gain in money by symbol."""
    own = ledger.groupby("symbol")
    first, last = own["equity"].first(), own["equity"].last()
    if is_portfolio(ledger):
        total = float(last.iloc[0] - first.iloc[0])
        bought = (ledger["order_shares"] * ledger["order_price"].fillna(0)).groupby(ledger["symbol"]).sum()
        bought += (ledger["exit_shares"] * ledger["exit_price"].fillna(0)).groupby(ledger["symbol"]).sum()
        close = own["close"].ffill().groupby(ledger["symbol"]).last().fillna(0)
        gain = own["position"].last() * close - bought
    else:
        gain = last - first
        total = float(gain.sum())
    filled = fills(ledger).groupby("symbol")
    table = pd.DataFrame(
        {
            "gain": gain,
            "held": (ledger["position"] != 0).groupby(ledger["symbol"]).mean(),
            "fills": filled.size(),
            "traded": filled["value"].sum(),
            "cost": filled["cost"].sum(),
        }
    ).fillna(0.0)
    table = table.sort_values("gain", ascending=False, kind="stable")
    return Attribution(table, total - float(gain.sum()), total)


def _account_of(ledger: pd.DataFrame, table: pd.DataFrame) -> pd.Series:
    """A number for each row's account and bar."""
    keys = ["timestamp"] if is_portfolio(ledger) else ["timestamp", "symbol"]
    return table.groupby(keys).ngroup()
