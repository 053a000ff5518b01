"""The recipe trained once more on all bars, with the choices made before.

What validation or a search has chosen is kept: parameters, the members of the ensemble and their weights, the agent.
What learns, learns again: features, predictors with their epochs, a stack of predictors, the class prior, agents with
the choice of their seed, the weights of an ensemble of agents. No bar remains that could judge these weights.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from MLOps.agents.data import AgentData
from MLOps.agents.ensemble import AgentEnsemble
from MLOps.agents.policy import Agent
from MLOps.artifacts import write_json
from MLOps.config.agent_ensemble import AgentEnsembleConfig
from MLOps.config.agents import AgentConfig
from MLOps.config.labels import LabelConfig
from MLOps.config.predictors import PredictorConfig
from MLOps.config.splits import SplitConfig
from MLOps.config.trading import TradingConfig
from MLOps.data.splits import LearningSplits
from MLOps.evaluation.recipe import Dataset, combine_agents, train_agent, train_predictor
from MLOps.evaluation.validation import combine
from MLOps.execution.contract import Map, in_turn
from MLOps.features.pipeline import FeaturePipeline
from MLOps.predictors.contract import Predictor
from MLOps.predictors.ensemble import ENSEMBLE, Ensemble


@dataclass(frozen=True, kw_only=True)
class Choices:
    """The recipe with the choices made.

    Attributes:
        ensemble: of predictors, as it was judged.
        ensemble_kind: see `Ensemble.fit`.
        predictors: with the parameters that a search chose; those that `needed_predictors` names.
        agents: likewise; the chosen one, or the members of the ensemble of agents.
    """

    seed: int
    threads: int
    features: tuple[str, ...]
    splits: SplitConfig
    labels: LabelConfig
    predictors: dict[str, PredictorConfig]
    ensemble: Ensemble
    ensemble_kind: str
    trading: TradingConfig
    agents: dict[str, AgentConfig]
    agent_ensemble: AgentEnsembleConfig


@dataclass(frozen=True)
class Refit:
    """The models of a refit.

    Attributes:
        trained_until: the newest bar.
        seeds: the number of the seed that validation chose, by agent.
    """

    splits: LearningSplits
    trained_until: pd.Timestamp
    pipeline: FeaturePipeline
    predictors: dict[str, Predictor]
    ensemble: Ensemble
    agent: Agent | AgentEnsemble
    seeds: dict[str, int]

    def save(self, folder: Path) -> None:
        """Write the parts of a bundle, and `refit.json` with spans, ensemble of predictors and seeds."""
        write_json(folder / "feature_pipeline.json", self.pipeline.to_dict())
        for name, predictor in self.predictors.items():
            predictor.save(folder / "predictors" / name)
        self.agent.save(folder / "agent")
        write_json(folder / "refit.json", self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        return {
            "splits": self.splits.to_dict(),
            "trained_until": self.trained_until.isoformat(),
            "ensemble": self.ensemble.to_dict(),
            "seeds": self.seeds,
        }


def needed_predictors(ensemble: Ensemble, agents: dict[str, AgentConfig]) -> list[str]:
    """The members of the ensemble, and what the agents observe or train on besides."""
    names = list(ensemble.members)
    for observe in [agent.observe for agent in agents.values()]:
        names += [*(observe.predictors or ()), *observe.embeddings]
        names += [] if observe.fine_tuned is None else [observe.fine_tuned]
    return [name for name in dict.fromkeys(names) if name != ENSEMBLE]


def refit(choices: Choices, bars: pd.DataFrame, splits: LearningSplits, checkpoints: Path, run: Map = in_turn) -> Refit:
    """Train on `splits`, by the same functions as the stages.

    Args:
        bars: all bars, settled.
        checkpoints: a folder for progress; the same call after a kill resumes from there.
        run: trains what is independent.

    Raises:
        UserError: the recipe does not work on these spans.
    """
    seed, threads, trading = choices.seed, choices.threads, choices.trading
    dataset = Dataset.of(bars, splits, choices.features, choices.labels, trading, threads)
    features, labels = dataset.features, dataset.labels

    predictors, tables = {}, {}
    for name, predictor_config in choices.predictors.items():
        predictors[name], tables[name] = train_predictor(
            name, predictor_config, dataset, choices.splits, seed, threads, checkpoints, run
        )
    # The members' gains on validation, which the judged weights are proportional to, are not measured again.
    kept = dict(zip(choices.ensemble.members, choices.ensemble.weights, strict=True))
    names, classes = dataset.pipeline.names, dataset.class_names
    ensemble, signals = combine(choices.ensemble_kind, kept, tables, features, names, labels, classes, splits.train)

    members: dict[str, Agent] = {}
    seeds = {}
    for name, config in choices.agents.items():
        tuned = None if config.observe.fine_tuned is None else predictors[config.observe.fine_tuned]
        left_out = dataset.pipeline.left_out
        data = AgentData.fit(config, trading, bars, features, signals, ensemble, splits, left_out, tuned)
        trained = train_agent(name, config, data, trading, seed, threads, checkpoints, run)
        members[name], seeds[name] = trained.agent, trained.number
    agent: Agent | AgentEnsemble = next(iter(members.values()))
    if choices.agent_ensemble.kind != "none":
        agent = combine_agents(choices.agent_ensemble, members, dataset, signals, trading, seed, threads)
    return Refit(splits, bars["timestamp"].max(), dataset.pipeline, predictors, ensemble, agent, seeds)
