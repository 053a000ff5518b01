"""One window of a walk-forward evaluation: the recipe of params.yaml repeated on the bars known by then."""

import shutil
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, fields
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits

from MLOps.agents.algorithms import ALGORITHMS
from MLOps.agents.data import AgentData
from MLOps.agents.policy import Agent
from MLOps.agents.tuning import trial_of as agent_trial
from MLOps.artifacts import content_hash, read_table, value_hash
from MLOps.config.agent_ensemble import AgentEnsembleConfig
from MLOps.config.agents import AgentConfig, parse_agent
from MLOps.config.backtest import BacktestConfig
from MLOps.config.data import SentimentConfig
from MLOps.config.labels import LabelConfig
from MLOps.config.predictors import PredictorConfig, parse_predictor
from MLOps.config.schema import as_json
from MLOps.config.search import SearchConfig, SearchConfigs
from MLOps.config.splits import SplitConfig
from MLOps.config.trading import TradingConfig
from MLOps.config.types import Auto
from MLOps.config.validation import ValidationConfig
from MLOps.data.clock import Clock
from MLOps.data.quality import without_bars_of
from MLOps.data.sentiment import with_sentiment
from MLOps.data.settle import settle
from MLOps.data.splits import Splits
from MLOps.data.walk_forward import Window
from MLOps.errors import UserError
from MLOps.evaluation.backtest import backtest
from MLOps.evaluation.candidate import Candidate
from MLOps.evaluation.outcome import Outcome, window_report
from MLOps.evaluation.recipe import Dataset, combine_agents, train_agent, train_predictor
from MLOps.evaluation.validation import Validated, validate
from MLOps.features.history import required_bars
from MLOps.imports import code_hash
from MLOps.predictors import predictor_modules
from MLOps.predictors.contract import Predictor
from MLOps.predictors.tuning import trial_of as predictor_trial
from MLOps.training.determinism import seed_torch
from MLOps.training.search import Search, Train
from MLOps.training.seeds import derive_seed


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The parts of params.yaml that decide how bars become an agent."""

    seed: int
    threads: int
    calendar: str | None
    bars_per_year: Auto | float
    on_missing: str
    drop_findings: tuple[str, ...]
    sentiment: SentimentConfig
    features: tuple[str, ...]
    splits: SplitConfig
    labels: LabelConfig
    predictors: dict[str, PredictorConfig]
    search: SearchConfigs
    validation: ValidationConfig
    trading: TradingConfig
    agents: dict[str, AgentConfig]
    agent_ensemble: AgentEnsembleConfig
    backtest: BacktestConfig

    def identity(self) -> str:
        """Hash of all values, of the news file, and of the code that they choose."""
        values = {field.name: as_json(getattr(self, field.name)) for field in fields(self)}
        news = content_hash(Path(self.sentiment.path)) if self.sentiment.enabled else None
        modules = {module for config in self.predictors.values() for module in predictor_modules(config.kind)}
        modules |= {ALGORITHMS[config.kind].partition(":")[0] for config in self.agents.values()}
        return value_hash([values, news, code_hash(__name__, *sorted(modules))])


@dataclass(frozen=True)
class Task:
    """A window to compute, by a process that knows nothing else.

    Attributes:
        raw_bars: the Parquet file of all raw bars.
        environment: versions of the packages that compute.
        kept: folder of finished windows and of checkpoints, one subfolder a window.
    """

    number: int
    window: Window
    recipe: Recipe
    raw_bars: Path
    environment: Mapping[str, Any]
    kept: Path


def compute(task: Task) -> Outcome:
    """The outcome of a window; a finished one is read, a killed one resumed from its checkpoints.

    Raises:
        UserError: the recipe does not work on the bars of this window.
    """
    threadpool_limits(task.recipe.threads)
    name = f"window {task.number}, {task.window.test.date()} to {task.window.end.date()}"
    raw = task.window.known(read_table(task.raw_bars))
    folder = task.kept / _identity(task, raw)
    if (folder / "outcome").exists():
        try:
            return Outcome.load(folder / "outcome")
        except UserError as error:
            print(f"{name}: its saved outcome is damaged, so it is computed again: {error}")
            shutil.rmtree(folder / "outcome")
    messages = StringIO()
    try:
        with redirect_stdout(messages):
            outcome = repeat(task.recipe, task.window, raw, folder / "checkpoints")
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
    finally:
        for line in messages.getvalue().splitlines():
            print(f"{name}: {line}")
    outcome.save(folder / "outcome")
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return outcome


def _identity(task: Task, raw: pd.DataFrame) -> str:
    """Hash of everything that the outcome depends on."""
    rows = pd.util.hash_pandas_object(raw, index=False).to_numpy()
    bars = [list(raw.columns), value_hash(rows.tolist())]
    window = [str(time) for time in asdict(task.window).values()]
    return value_hash([window, bars, task.recipe.identity(), dict(task.environment)])[:32]


def repeat(recipe: Recipe, window: Window, raw: pd.DataFrame, checkpoints: Path) -> Outcome:
    """What the stages from `validate_data` to `backtest` do, by the same functions.

    Args:
        raw: the raw bars that the window knows.
        checkpoints: a folder for progress; the same call after a kill resumes from there.

    Raises:
        UserError: the recipe does not work on these bars.
    """
    seed, threads, trading, where = recipe.seed, recipe.threads, recipe.trading, "raw bars"
    clock = Clock.of(raw, recipe.calendar, recipe.bars_per_year)
    raw, _ = without_bars_of(raw, clock, recipe.drop_findings)
    needed = required_bars(recipe.features, raw, recipe.predictors, recipe.search.predictors)
    bars, _ = settle(raw, recipe.on_missing, needed, where)
    bars = with_sentiment(bars, clock, recipe.sentiment)
    splits = window.splits(bars["timestamp"], recipe.splits)
    dataset = Dataset.of(bars, splits, recipe.features, recipe.labels, trading, threads)
    features, left_out = dataset.features, dataset.pipeline.left_out

    predictors, judged = _predictors(recipe, dataset, splits, checkpoints)
    signals = judged.signals

    members: dict[str, Agent] = {}
    rewards: dict[str, float] = {}
    seeds: dict[str, int] = {}
    for name, given in recipe.agents.items():
        seed_torch(seed, threads)
        tuned = None if given.observe.fine_tuned is None else predictors[given.observe.fine_tuned]
        data = AgentData.fit(given, trading, bars, features, signals, judged.ensemble, splits, left_out, tuned)
        trial = agent_trial(name, as_json(given), data, trading, seed, recipe.search.agents.metric)
        values = _searched(name, as_json(given), recipe.search.agents, trial, seed, checkpoints / "tune_agent")
        config = parse_agent(values, f"agents.{name}")
        trained = train_agent(name, config, data, trading, seed, threads, checkpoints)
        members[name], rewards[name], seeds[name] = trained.agent, trained.reward, trained.number

    ensemble = None
    if recipe.agent_ensemble.kind != "none":
        ensemble = combine_agents(recipe.agent_ensemble, members, dataset, signals, trading, seed, threads)
    candidate = Candidate.choose(members, rewards, ensemble)
    market = candidate.agent.market(bars, features, signals, trading)
    result = backtest(
        candidate.agent.policy(),
        market.between(splits.test.start, splits.test.end),
        bars,
        signals,
        trading,
        recipe.backtest,
        seed,
        candidate.others,
    )
    report = result.report(candidate.name, rewards, splits.test, clock.bars_per_year)
    return Outcome(window_report(report, splits, seeds.get(candidate.name)), result.returns())


def _predictors(
    recipe: Recipe, dataset: Dataset, splits: Splits, checkpoints: Path
) -> tuple[dict[str, Predictor], Validated]:
    """What the stages `tune`, `train_predictor` and `validate_predictors` do."""
    seed, threads, names = recipe.seed, recipe.threads, dataset.class_names
    features, labels, feature_names = dataset.features, dataset.labels, dataset.pipeline.names
    predictors: dict[str, Predictor] = {}
    tables = {}
    for name, given in recipe.predictors.items():
        seed_torch(seed, threads)
        values = as_json(given)
        trial = predictor_trial(name, values, features, labels, names, feature_names, splits, seed)
        values = _searched(name, values, recipe.search.predictors, trial, seed, checkpoints / "tune")
        config = parse_predictor(values, f"predictors.{name}")
        predictors[name], tables[name] = train_predictor(
            name, config, dataset, recipe.splits, seed, threads, checkpoints
        )
    seed_torch(seed, threads)
    judged = validate(predictors, tables, features, feature_names, labels, names, splits, recipe.validation)
    return predictors, judged


def _searched(
    name: str,
    values: dict[str, Any],
    config: SearchConfig,
    trial: Train,
    seed: int,
    folder: Path,
) -> dict[str, Any]:
    """`values`, with the best of a search if one is configured for this variant."""
    if not config.trials or not config.spaces.get(name):
        return values
    searching = Search(name, config, name, folder / f"{name}.db", derive_seed(seed, "search", name))
    searching.run(config.trials, trial, folder / name, lambda _: None)
    return values | searching.best()
