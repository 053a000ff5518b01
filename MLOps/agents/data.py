"""What an agent is trained on."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from MLOps.agents.fine_tuning import Pretrained
from MLOps.agents.observations import MarketView
from MLOps.config.agents import AgentConfig
from MLOps.config.trading import TradingConfig
from MLOps.data.splits import LearningSplits
from MLOps.predictors.contract import Predictor
from MLOps.predictors.ensemble import Ensemble
from MLOps.trading import Market


@dataclass(frozen=True)
class AgentData:
    """An agent's view of the market, and the market of the training and the validation span.

    Attributes:
        pretrained: the network that the agent trains on, if it does; both markets then have its windows as a column.
    """

    view: MarketView
    training: Market
    validation: Market
    pretrained: Pretrained | None

    @classmethod
    def fit(
        cls,
        config: AgentConfig,
        trading: TradingConfig,
        bars: pd.DataFrame,
        features: pd.DataFrame,
        signals: pd.DataFrame,
        ensemble: Ensemble,
        splits: LearningSplits,
        left_out: Mapping[str, str],
        fine_tuned: Predictor | None,
    ) -> "AgentData":
        """See `MarketView.fit`.

        Args:
            fine_tuned: the predictor that `observe.fine_tuned` names.
        """
        rows = splits.train.rows(features["timestamp"])
        view = MarketView.fit(config.observe, ensemble, features, signals, rows, left_out)
        pretrained = None if fine_tuned is None else Pretrained.of(fine_tuned, features)
        windows = None if pretrained is None else pretrained.windows
        market = view.market(bars, features, signals, trading, windows=windows)
        if trading.account == "portfolio":
            # The network has inputs and outputs of its own for each symbol; without a bar to train on they stay random.
            observable = market.between(splits.train.start, splits.train.end).observable
            only = [symbol for symbol, known in zip(market.symbols, observable, strict=True) if known.any()]
            market = view.market(bars, features, signals, trading, only, windows)
        return cls(
            view,
            market.between(splits.train.start, splits.train.end),
            market.between(splits.validation.start, splits.validation.end),
            pretrained,
        )
