"""A window knows what was known at its end, whatever comes after, wherever and however often it is computed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from MLOps.artifacts import content_hash, write_table
from MLOps.config.agent_ensemble import NoEnsembleConfig
from MLOps.config.agents import parse_agent
from MLOps.config.labels import ScoreLabelConfig
from MLOps.config.params import load_params
from MLOps.config.predictors import parse_predictor
from MLOps.config.search import SearchConfig, SearchConfigs
from MLOps.config.splits import SplitConfig
from MLOps.config.walk_forward import WalkForwardConfig
from MLOps.data.bars import PRICES
from MLOps.data.walk_forward import Window, windows_of
from MLOps.evaluation.walk_forward import Recipe, Task, compute
from tests.data.markets import MARKETS
from tests.project import ROOT

NO_SEARCH = SearchConfig(trials=0, spaces={})
AGENT = {
    "kind": "ppo",
    "observe": {"features": ["return_1", "volatility_5"]},
    "environments": 4,
    "n_steps": 32,
    "batch_size": 64,
    "n_epochs": 2,
    "net_arch": [8],
    "total_timesteps": 512,
    "evaluate_every_steps": 256,
    "checkpoint_every_steps": 128,
}
PARAMS = load_params(ROOT / "params.yaml")
RECIPE = Recipe(
    seed=7,
    threads=1,
    calendar="auto",
    bars_per_year="auto",
    on_missing="trade_without",
    sentiment=PARAMS.data.sentiment,
    features=("return_1", "volatility_5", "rank_5", "volume_change"),
    splits=SplitConfig(train=0.6, validation=0.2, test=0.2, embargo_bars=5, folds=2),
    labels=ScoreLabelConfig(kind="score", n_classes=3, horizon_bars=2, volatility_bars=10),
    predictors={"logistic": parse_predictor({"kind": "logistic", "lookback_bars": 2, "l2_penalty": 10.0}, "test")},
    search=SearchConfigs(predictors=NO_SEARCH, agents=NO_SEARCH),
    validation=PARAMS.validation,
    trading=replace(PARAMS.trading, episode_bars=60),
    agents={"ppo": parse_agent(AGENT, "test")},
    agent_ensemble=NoEnsembleConfig(kind="none"),
    backtest=replace(PARAMS.backtest, random_draws=5, bootstrap_samples=100),
)
WINDOWS = WalkForwardConfig(windows=3, test_bars=60, training="anchored", workers=None)


def tasks(raw: pd.DataFrame, folder: Path, recipe: Recipe = RECIPE, windows: list[Window] | None = None) -> list[Task]:
    write_table(folder / "raw.parquet", raw)
    windows = windows or windows_of(raw["timestamp"], recipe.splits, WINDOWS)
    return [
        Task(number, window, recipe, folder / "raw.parquet", {}, folder / "kept")
        for number, window in enumerate(windows[:-1])
    ]


def files(folder: Path) -> dict[str, str]:
    """The hash of each window's outcome, by the hash of what it depends on."""
    return {path.parent.name: content_hash(path) for path in folder.glob("kept/*/outcome")}


def corrupted(raw: pd.DataFrame, after: pd.Timestamp, seed: int) -> pd.DataFrame:
    """Other prices and volumes from `after` on, a symbol less and another more."""
    generator = np.random.default_rng(seed)
    later = (raw["timestamp"] >= after).to_numpy()
    changed = raw.copy()
    numbers = [name for name in raw.columns if name not in ("timestamp", "symbol")]
    changed.loc[later, numbers] = generator.lognormal(2, 2, (later.sum(), len(numbers)))
    changed["high"] = changed[[*PRICES]].max(axis=1)
    changed["low"] = changed[[*PRICES]].min(axis=1)
    gone = later & (changed["symbol"] == changed["symbol"].iloc[-1]).to_numpy()
    listed = changed[later & (changed["symbol"] == changed["symbol"].iloc[0]).to_numpy()].assign(symbol="AAA")
    kept = pd.concat([changed[~gone], listed])
    return kept.sort_values(["symbol", "timestamp"], ignore_index=True)


@pytest.mark.parametrize("market", ["daily stocks", "one symbol", "thirty stocks without volume"])
def test_what_comes_after_a_window_moves_not_one_bit_of_it(market: str, tmp_path: Path) -> None:
    raw = MARKETS[market](5)
    (first, *_) = whole = tasks(raw, tmp_path / "true")
    windows = [*(task.window for task in whole), whole[-1].window]
    outcome = compute(first)
    assert len(outcome.returns) == WINDOWS.test_bars
    assert outcome.returns["agent"].std() > 0 or (outcome.returns["agent"] == 0).all()
    other = corrupted(raw, first.window.end, 1)
    assert compute(tasks(other, tmp_path / "other", windows=windows)[0]) is not None
    assert files(tmp_path / "other") == files(tmp_path / "true")
    # What comes before its end does.
    inside = corrupted(raw, first.window.end - (raw["timestamp"].max() - raw["timestamp"].min()) / 50, 1)
    compute(tasks(inside, tmp_path / "inside", windows=windows)[0])
    assert set(files(tmp_path / "inside")).isdisjoint(files(tmp_path / "true"))
    assert set(files(tmp_path / "inside").values()).isdisjoint(files(tmp_path / "true").values())
