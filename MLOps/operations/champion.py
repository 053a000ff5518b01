"""The champion, traded over today's test span under today's rules."""

from pathlib import Path

import pandas as pd

from MLOps.artifacts import read_json, read_table
from MLOps.config.trading import TradingConfig
from MLOps.data.splits import Span
from MLOps.errors import UserError
from MLOps.model_registry.versions import Registry


def champion_returns(registry: Registry, version: str, bars: Path, span: Span, trading: TradingConfig) -> pd.Series:
    """The returns per bar of a version over `span`, by the timestamp at which the bar ends.

    Args:
        bars: the Parquet file of all bars.

    Raises:
        UserError: the version cannot trade these bars, or was trained on some of the span.
    """
    from MLOps.deployment.trading_model import TradingModel
    from MLOps.evaluation.performance import Portfolio

    bundle = registry.bundle(version)
    seen_until = pd.Timestamp(read_json(bundle / "metadata.json")["splits"]["validation"]["end"])
    if seen_until > span.start:
        raise UserError(f"it was trained and chosen on bars up to {seen_until.date()}, the span begins before that")
    portfolio = Portfolio.of(TradingModel.load(bundle).backtest(read_table(bars), span, trading))
    return pd.Series(portfolio.returns, pd.DatetimeIndex(portfolio.timestamps[1:]))
