"""What an agent is trained on."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from MLOps.agents.observations import MarketView
from MLOps.config.agents import AgentConfig
from MLOps.config.trading import TradingConfig
from MLOps.data.splits import Splits
from MLOps.predictors.ensemble import Ensemble
from MLOps.trading import Market


@dataclass(frozen=True)
class AgentData:
    """An agent's view of the market, and the market of the training and the validation span."""

    view: MarketView
    training: Market
    validation: Market

    @classmethod
    def fit(
        cls,
        config: AgentConfig,
        trading: TradingConfig,
        bars: pd.DataFrame,
        features: pd.DataFrame,
        signals: pd.DataFrame,
        ensemble: Ensemble,
        splits: Splits,
        left_out: Mapping[str, str],
    ) -> "AgentData":
        """See `MarketView.fit`."""
        rows = splits.train.rows(features["timestamp"])
        view = MarketView.fit(config.observe, ensemble, features, signals, rows, left_out)
        market = view.market(bars, features, signals, trading)
        if trading.account == "portfolio":
            # The network has inputs and outputs of its own for each symbol; without a bar to train on they stay random.
            observable = market.between(splits.train.start, splits.train.end).observable
            only = [symbol for symbol, known in zip(market.symbols, observable, strict=True) if known.any()]
            market = view.market(bars, features, signals, trading, only=only)
        return cls(
            view,
            market.between(splits.train.start, splits.train.end),
            market.between(splits.validation.start, splits.validation.end),
        )
