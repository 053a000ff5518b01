"""The champion, traded over today's test span under today's rules."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd

from MLOps.artifacts import content_hash, read_json, read_table, value_hash
from MLOps.config.trading import TradingConfig
from MLOps.data.splits import Span
from MLOps.errors import UserError
from MLOps.model_registry.versions import Registry


def measured_sharpe(
    registry: Registry, version: str, bars: Path, span: Span, trading: TradingConfig, bars_per_year: int
) -> float:
    """The Sharpe ratio of a version over `span`.

    It is computed once and kept as a tag that names the bars, the span and the rules.

    Args:
        bars: the Parquet file of all bars.

    Raises:
        UserError: the version cannot trade these bars, or was trained on some of the span.
    """
    measured_on = [content_hash(bars), str(span), asdict(trading), bars_per_year]
    tag = f"sharpe_on_{value_hash(measured_on)[:16]}"
    if (kept := registry.tags(version).get(tag)) is not None:
        return float(kept)
    from MLOps.deployment.trading_model import TradingModel
    from MLOps.evaluation.performance import performance

    bundle = registry.bundle(version)
    seen_until = pd.Timestamp(read_json(bundle / "metadata.json")["splits"]["validation"]["end"])
    if seen_until > span.start:
        raise UserError(f"it was trained and chosen on bars up to {seen_until.date()}, the span begins before that")
    ledger = TradingModel.load(bundle).backtest(read_table(bars), span, trading)
    sharpe = performance(ledger, bars_per_year)["sharpe"]
    registry.tag(version, {tag: repr(sharpe)})
    return sharpe
