"""What the stages read to train an agent."""

from dataclasses import dataclass

from MLOps.agents.fine_tuning import Pretrained
from MLOps.agents.observations import MarketView
from MLOps.artifacts import read_json, read_table
from MLOps.config.agents import AgentConfig
from MLOps.config.trading import TradingConfig
from MLOps.data.splits import Splits
from MLOps.pipelines import paths
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
    def read(cls, config: AgentConfig, trading: TradingConfig) -> "AgentData":
        bars, features, signals = (read_table(path) for path in (paths.BARS, paths.FEATURES, paths.SIGNALS))
        splits = Splits.from_dict(read_json(paths.SPLITS))
        ensemble = Ensemble.from_dict(read_json(paths.VERDICTS)["ensemble"])
        left_out = read_json(paths.FEATURE_PIPELINE)["left_out"]
        rows = splits.train.rows(features["timestamp"])
        view = MarketView.fit(config.observe, ensemble, features, signals, rows, left_out)
        pretrained = None
        if config.observe.fine_tuned is not None:
            pretrained = Pretrained.load(paths.PREDICTORS / config.observe.fine_tuned, features)
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
