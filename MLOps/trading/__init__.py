"""The market and its trading accounts: one compiled kernel for training, backtest and serving."""

from MLOps.trading.account import Account, Action, distinct_actions, observation_columns, observe, target_shares
from MLOps.trading.market import Market
from MLOps.trading.simulation import Ledger, replay, simulate

__all__ = [
    "Account",
    "Action",
    "Ledger",
    "Market",
    "distinct_actions",
    "observation_columns",
    "observe",
    "replay",
    "simulate",
    "target_shares",
]
