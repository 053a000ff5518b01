"""What the stages read to train an agent."""

from MLOps.agents.data import AgentData
from MLOps.artifacts import read_json, read_table
from MLOps.config.agents import AgentConfig
from MLOps.config.trading import TradingConfig
from MLOps.data.splits import Splits
from MLOps.features.dataset import read_features
from MLOps.pipelines import paths
from MLOps.predictors.ensemble import Ensemble
from MLOps.predictors.kinds import load_predictor


def read_agent_data(config: AgentConfig, trading: TradingConfig) -> AgentData:
    """See `AgentData.fit`."""
    bars, features, signals = read_table(paths.BARS), read_features(paths.FEATURES), read_table(paths.SIGNALS)
    ensemble = Ensemble.from_dict(read_json(paths.VERDICTS)["ensemble"])
    splits = Splits.from_dict(read_json(paths.SPLITS))
    left_out = read_json(paths.FEATURE_PIPELINE)["left_out"]
    tuned = config.observe.fine_tuned
    predictor = None if tuned is None else load_predictor(paths.PREDICTORS / tuned)
    return AgentData.fit(config, trading, bars, features, signals, ensemble, splits, left_out, predictor)
