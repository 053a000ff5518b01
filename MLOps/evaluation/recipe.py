"""The steps from bars to a trading agent, as the stages compose them, for a process that repeats several of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from MLOps.agents.data import AgentData
from MLOps.agents.ensemble import AgentEnsemble
from MLOps.agents.ensemble_fitting import fit_ensemble
from MLOps.agents.policy import Agent
from MLOps.agents.seeds import Trained, best, train_seed
from MLOps.config.agent_ensemble import AgentEnsembleConfig
from MLOps.config.agents import AgentConfig
from MLOps.config.labels import LabelConfig, class_names
from MLOps.config.predictors import PredictorConfig
from MLOps.config.splits import SplitConfig
from MLOps.config.trading import TradingConfig
from MLOps.data.splits import LearningSplits
from MLOps.execution.contract import Map, in_turn
from MLOps.features.fitting import fit_features
from MLOps.features.labels import make_labels
from MLOps.features.pipeline import FeaturePipeline
from MLOps.predictors.contract import Predictor
from MLOps.predictors.kinds import predictor_class
from MLOps.predictors.learning import learning_data
from MLOps.predictors.signals import train_with_signals
from MLOps.training.determinism import seed_torch
from MLOps.training.seeds import derive_seed


@dataclass(frozen=True)
class Dataset:
    """What models learn from: bars and spans, and what the stage `features` makes of them."""

    bars: pd.DataFrame
    splits: LearningSplits
    pipeline: FeaturePipeline
    features: pd.DataFrame
    labels: pd.DataFrame
    class_names: tuple[str, ...]

    @classmethod
    def of(
        cls,
        bars: pd.DataFrame,
        splits: LearningSplits,
        names: tuple[str, ...],
        labels: LabelConfig,
        trading: TradingConfig,
        threads: int,
    ) -> "Dataset":
        """Fit and compute features, and label the bars.

        Args:
            names: of the features.
        """
        pipeline = fit_features(names, bars, splits.train, trading)
        computed = pipeline.compute(bars, threads)
        return cls(bars, splits, pipeline, computed, make_labels(bars, labels), class_names(labels))


def train_predictor(
    name: str,
    config: PredictorConfig,
    dataset: Dataset,
    split_config: SplitConfig,
    seed: int,
    threads: int,
    checkpoints: Path,
    run: Map = in_turn,
) -> tuple[Predictor, pd.DataFrame]:
    """The predictor and its signals; see `train_with_signals`. The history is not kept.

    Args:
        checkpoints: a folder for the progress of all predictors.
    """
    seed_torch(seed, threads)
    names = dataset.pipeline.names
    data = learning_data(
        config.lookback_bars, dataset.features, dataset.labels, dataset.class_names, names, dataset.splits
    )
    kind, folder = predictor_class(config.kind), checkpoints / "predictors" / name
    return train_with_signals(kind, config, data, split_config, seed, _ignore, folder, run)


def train_agent(
    name: str,
    config: AgentConfig,
    data: AgentData,
    trading: TradingConfig,
    seed: int,
    threads: int,
    checkpoints: Path,
    run: Map = in_turn,
) -> Trained:
    """The agent of the seed that does best on validation. The histories are not kept.

    Args:
        checkpoints: a folder for the progress of all agents.
    """
    seed_torch(seed, threads)
    folder = checkpoints / "agents" / name
    train = partial(train_seed, name, config, data, trading, seed, on_step=_ignore, checkpoints=folder)
    return best(run(train, range(config.seeds), "seeds"))


def combine_agents(
    config: AgentEnsembleConfig,
    members: Mapping[str, Agent],
    dataset: Dataset,
    signals: pd.DataFrame,
    trading: TradingConfig,
    seed: int,
    threads: int,
) -> AgentEnsemble:
    """The ensemble of the agents, fitted on validation."""
    seed_torch(seed, threads)
    span = dataset.splits.validation
    market = next(iter(members.values())).market(dataset.bars, dataset.features, signals, trading)
    return fit_ensemble(config, members, market.between(span.start, span.end), derive_seed(seed, "agent_ensemble"))


def _ignore(_: int, __: Mapping[str, float]) -> None:
    """The history of a training is not kept."""
