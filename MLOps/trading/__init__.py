"""The market and its trading accounts: one compiled kernel for training, backtest and serving."""

from MLOps.trading.account import (
    Account,
    Action,
    distinct_actions,
    observation_columns,
    observe,
    portfolio_symbols,
    target_shares,
)
from MLOps.trading.market import Market
from MLOps.trading.portfolio import PortfolioAccount, observe_portfolio, portfolio_target_shares
from MLOps.trading.simulation import Ledger, replay, simulate

__all__ = [
    "Account",
    "Action",
    "Ledger",
    "Market",
    "PortfolioAccount",
    "distinct_actions",
    "observation_columns",
    "observe",
    "observe_portfolio",
    "portfolio_symbols",
    "portfolio_target_shares",
    "replay",
    "simulate",
    "target_shares",
]
