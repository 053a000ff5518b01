"""Bundles of small agents of every algorithm and scheme, on a market whose symbols come and go."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.tracking import MlflowClient

from MLOps.agents.algorithms import ALGORITHMS
from MLOps.agents.fine_tuning import (
    Pretrained,
    fine_tuned,
    windows_of,
    with_embedding_names,
    with_window_column,
)
from MLOps.agents.observations import MarketView
from MLOps.agents.policy import Agent
from MLOps.artifacts import write_json
from MLOps.config.agents import ObserveConfig
from MLOps.config.tracking import TrackingConfig
from MLOps.config.trading import TradingConfig
from MLOps.data.bars import check_bars
from MLOps.data.splits import Span
from MLOps.deployment.trading_model import TradingModel
from MLOps.experiment_tracking.record import Record
from MLOps.experiment_tracking.runs import Runs
from MLOps.features.pipeline import FeaturePipeline
from MLOps.model_registry.bundle import build_bundle
from MLOps.model_registry.versions import CHAMPION, Registry
from MLOps.operations.registration import register
from MLOps.predictors.contract import Forecast
from MLOps.predictors.ensemble import ENSEMBLE, Ensemble
from MLOps.predictors.signals import signal_table
from MLOps.predictors.windows import Windows
from MLOps.trading import Market
from MLOps.trading.vector import TradingVecEnv
from tests.agents.trainings import CONFIGS, RULES
from tests.agents.windowed import untrained
from tests.evaluation.markets import random_walk
from tests.project import ROOT

FEATURES = ("return_1", "volatility_5", "market_return_1", "rank_1")
SYMBOLS, BARS, TEST_BARS = 5, 260, 40
WINDOW_BARS = 12  # longer than the warm-up of the features
ENSEMBLE_OF_NONE = Ensemble(("fall", "rise"), (), (), None, np.array([0.4, 0.6]), 0.0)


@cache
def bars() -> pd.DataFrame:
    """S01 is listed in the training span, S02 ends in the test span, S03 lacks bars there, S04 is listed there."""
    table = random_walk(SYMBOLS, BARS, 3)
    place = table.groupby("symbol").cumcount()
    away = {"S01": place < 100, "S02": place >= 240, "S03": place.isin([230, 231, 245]), "S04": place < 228}
    missing = np.logical_or.reduce([(table["symbol"] == symbol) & gone for symbol, gone in away.items()])
    return check_bars(table[~missing].reset_index(drop=True), "made")


def spans() -> tuple[Span, Span]:
    clock = np.sort(bars()["timestamp"].unique())
    cut, end = pd.Timestamp(clock[-TEST_BARS]), pd.Timestamp(clock[-1]) + pd.Timedelta(days=1)
    return Span(pd.Timestamp(clock[0]), cut), Span(cut, end)


@cache
def _seen() -> tuple[FeaturePipeline, MarketView, pd.DataFrame]:
    """The fitted features and view, and the table of observations."""
    train = spans()[0]
    pipeline = FeaturePipeline.fit(FEATURES, bars(), train.rows(bars()["timestamp"]))
    features = pipeline.compute(bars())
    known = features.dropna().reset_index(drop=True)
    forecast: Forecast = ENSEMBLE_OF_NONE.forecast([], len(known))
    signals = signal_table(known, forecast, ENSEMBLE_OF_NONE.class_names).assign(predictor=ENSEMBLE)
    training = train.rows(features["timestamp"])
    view = MarketView.fit(ObserveConfig(features=FEATURES), ENSEMBLE_OF_NONE, features, signals, training)
    return pipeline, view, view.observe(features, signals)


@cache
def pretrained() -> Pretrained:
    """A network that an agent can train on, and its windows."""
    windows = windows_of(_seen()[0].compute(bars()), WINDOW_BARS)
    return Pretrained(untrained(windows, "gru", len(FEATURES)), windows)


def market(trading: TradingConfig, windows: Windows | None = None) -> Market:
    """The training span as an agent sees it; a portfolio's has the symbols that are observed there."""
    pipeline, _, observed = _seen()
    if windows is not None:
        observed = with_window_column(observed, pipeline.compute(bars()), windows)
    train = spans()[0]
    only = observed.loc[train.rows(observed["timestamp"]), "symbol"].unique()
    whole = Market.from_tables(bars(), observed, only=only if trading.account == "portfolio" else None)
    return whole.between(train.start, train.end)


def agent(kind: str, trading: TradingConfig, steps: int = 256) -> Agent:
    algorithm: Any = resolve_name(ALGORITHMS[kind])
    environments = TradingVecEnv(market(trading), trading, 4, seed=3)
    learner = algorithm.learner(CONFIGS[kind], environments, 3)
    if steps:
        learner.learn(steps)
    return Agent(CONFIGS[kind], trading, _seen()[1], environments.columns, algorithm.policy_network(learner))


def fine_tuned_agent(kind: str, trading: TradingConfig) -> Agent:
    """An agent that trained a network together with its policy."""
    torch.set_num_threads(1)
    algorithm: Any = resolve_name(ALGORITHMS[kind])
    own = pretrained()
    environments = TradingVecEnv(market(trading, own.windows), trading, 4, seed=3)
    config = replace(CONFIGS[kind], observe=ObserveConfig(features=FEATURES, fine_tuned="gru"))
    learner = algorithm.learner(config, environments, 3, own)
    learner.learn(256)
    columns = with_embedding_names(environments.columns, own.predictor.config.embedding_size)
    tuned = fine_tuned(own.predictor, algorithm.tuned_weights(learner))
    return Agent(config, trading, _seen()[1], columns, algorithm.policy_network(learner), tuned)


def write_bundle(folder: Path, own: Agent) -> Path:
    """A bundle of the agent, whose ensemble has no members."""
    own.save(folder / "agent")
    write_json(folder / "feature_pipeline.json", _seen()[0].to_dict())
    parts = {name: folder / name for name in ("agent", "feature_pipeline.json")}
    metadata = {"ensemble": ENSEMBLE_OF_NONE.to_dict(), "trading": asdict(own.trading)}
    build_bundle(folder / "bundle", parts, metadata)
    return folder / "bundle"


@contextmanager
def registered_champion(folder: Path) -> Iterator[Registry]:
    """The registry of a store in `folder` whose version 1, the champion, trades weights."""
    with pytest.MonkeyPatch.context() as patch:
        stored(folder, patch, {CHAMPION: agent("ppo", RULES["weights"])})
        yield Registry(MlflowClient(f"sqlite:///{folder}/mlflow.db"), "trading-agent")


def stored(folder: Path, patch: pytest.MonkeyPatch, versions: Mapping[str, Agent]) -> list[TradingModel]:
    """Make `folder` the working directory and its database the store, with a version for each alias in `versions`.

    Args:
        versions: an agent by alias.
    """
    patch.chdir(folder)
    for name in ("params.yaml", "dvc.yaml"):  # a run logs them
        shutil.copy2(ROOT / name, folder / name)
    uri = f"sqlite:///{folder}/mlflow.db"
    # MLflow keeps the store of a process in this variable.
    patch.setenv("MLFLOW_TRACKING_URI", uri)
    runs = Runs(TrackingConfig(uri=uri, experiment="trading", registered_model="trading-agent"))
    registry, models = Registry(runs.client, "trading-agent"), []
    for alias, own in versions.items():
        bundle = write_bundle(folder / alias, own)
        models.append(TradingModel.load(bundle))
        record = Record("promote", folder / "records", {}, {})
        registry.point(alias, register(runs, registry, record, bundle, models[-1].identity, bars()))
    return models
