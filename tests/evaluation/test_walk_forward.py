"""A window knows what was known at its end, whatever comes after, wherever and however often it is computed."""

import multiprocessing
import time
from dataclasses import replace
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from MLOps.artifacts import content_hash, write_table
from MLOps.config.agent_ensemble import HedgeConfig, NoEnsembleConfig
from MLOps.config.agents import parse_agent
from MLOps.config.execution import ExecutionConfig
from MLOps.config.labels import ScoreLabelConfig
from MLOps.config.params import load_params
from MLOps.config.predictors import parse_predictor
from MLOps.config.search import AgentSearchConfig, PredictorSearchConfig, SearchConfigs, SearchRange
from MLOps.config.splits import SplitConfig
from MLOps.config.walk_forward import WalkForwardConfig
from MLOps.data.bars import PRICES
from MLOps.data.walk_forward import Window, windows_of
from MLOps.errors import UserError
from MLOps.evaluation.evidence import Evidence
from MLOps.evaluation.walk_forward import Recipe, Task, compute
from MLOps.execution.executor import executor
from MLOps.training.checkpoints import Checkpoints
from tests.data.markets import MARKETS
from tests.project import ROOT

NO_PREDICTOR_SEARCH = PredictorSearchConfig(trials=0, spaces={})
NO_AGENT_SEARCH = AgentSearchConfig(trials=0, spaces={})
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
    calendar=None,
    bars_per_year="auto",
    on_missing="trade_without",
    drop_findings=(),
    sentiment=PARAMS.data.sentiment,
    features=("return_1", "volatility_5", "rank_5", "volume_change"),
    splits=SplitConfig(train=0.6, validation=0.2, test=0.2, embargo_bars=5, folds=2),
    labels=ScoreLabelConfig(kind="score", n_classes=3, horizon_bars=2, volatility_bars=10),
    predictors={"logistic": parse_predictor({"kind": "logistic", "lookback_bars": 2, "l2_penalty": 10.0}, "test")},
    search=SearchConfigs(predictors=NO_PREDICTOR_SEARCH, agents=NO_AGENT_SEARCH),
    validation=PARAMS.validation,
    trading=replace(PARAMS.trading, episode_bars=60),
    agents={"ppo": parse_agent(AGENT, "test")},
    agent_ensemble=NoEnsembleConfig(kind="none"),
    backtest=replace(PARAMS.backtest, random_draws=5, bootstrap_samples=100),
)
WINDOWS = WalkForwardConfig(windows=3, test_bars=60, training="anchored")


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
    recipe = replace(RECIPE, calendar="auto")
    (first, *_) = whole = tasks(raw, tmp_path / "true", recipe)
    windows = [*(task.window for task in whole), whole[-1].window]
    outcome = compute(first)
    assert len(outcome.returns) == WINDOWS.test_bars
    assert outcome.returns["agent"].std() > 0 or (outcome.returns["agent"] == 0).all()
    other = corrupted(raw, first.window.end, 1)
    assert compute(tasks(other, tmp_path / "other", recipe, windows)[0]) is not None
    assert files(tmp_path / "other") == files(tmp_path / "true")
    # What comes before its end does.
    inside = corrupted(raw, first.window.end - (raw["timestamp"].max() - raw["timestamp"].min()) / 50, 1)
    compute(tasks(inside, tmp_path / "inside", recipe, windows)[0])
    assert set(files(tmp_path / "inside")).isdisjoint(files(tmp_path / "true"))
    assert set(files(tmp_path / "inside").values()).isdisjoint(files(tmp_path / "true").values())


def test_processes_do_not_show(tmp_path: Path) -> None:
    raw = MARKETS["daily stocks"](5)
    for task in tasks(raw, tmp_path / "here"):
        compute(task)
    with executor(ExecutionConfig(kind="processes", workers=2), threads=1) as run:
        run(compute, tasks(raw, tmp_path / "there"), "windows")
    assert len(files(tmp_path / "here")) == 2
    assert files(tmp_path / "there") == files(tmp_path / "here")


def test_a_mistake_names_its_window(tmp_path: Path) -> None:
    raw = MARKETS["one symbol"](5)
    impossible = replace(RECIPE, features=("return_1", "volatility_5", "turbulence_20"))
    trading = replace(RECIPE.trading, turbulence_stop=1.0, turbulence_feature="turbulence_20")
    (first, *_) = tasks(raw, tmp_path, replace(impossible, trading=trading))
    with pytest.raises(UserError, match=r"^window 0, 2022-\d\d-\d\d to 2022-\d\d-\d\d: trading.turbulence_stop: "):
        compute(first)
    assert files(tmp_path) == {}


def slowly(task: Task, saved: Event) -> None:
    """Compute, with a pause after every checkpoint."""
    save = Checkpoints.save

    def slow_save(*state: Any) -> None:
        save(*state)
        saved.set()
        time.sleep(0.2)

    Checkpoints.save = slow_save  # type: ignore[method-assign, assignment]
    compute(task)


def test_a_killed_window_resumes_and_a_finished_one_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = MARKETS["daily stocks"](5)
    (undisturbed, *_), (task, *_) = (tasks(raw, tmp_path / name) for name in ("undisturbed", "killed"))
    compute(undisturbed)
    context = multiprocessing.get_context("spawn")
    saved = context.Event()
    process = context.Process(target=slowly, args=(task, saved))
    process.start()
    assert saved.wait(timeout=300)
    process.kill()
    process.join()
    assert files(tmp_path / "killed") == {}
    assert list((tmp_path / "killed/kept").rglob("*.safetensors")), "a checkpoint to resume from"
    compute(task)
    assert files(tmp_path / "killed") == files(tmp_path / "undisturbed")
    assert not list((tmp_path / "killed/kept").rglob("*.safetensors")), "a finished window needs no checkpoints"
    monkeypatch.setattr("MLOps.evaluation.walk_forward.repeat", lambda *_: pytest.fail("computed again"))
    kept = compute(task)
    pd.testing.assert_frame_equal(kept.returns, compute(undisturbed).returns, check_exact=True)


CHANGES: dict[str, dict[str, Any]] = {
    "seed": {"seed": 8},
    "threads": {"threads": 2},
    "features": {"features": ("return_1", "volatility_5")},
    "trading": {"trading": replace(RECIPE.trading, fee_bps=1.0)},
    "search": {
        "search": SearchConfigs(
            predictors=PredictorSearchConfig(
                trials=1, spaces={"logistic": {"l2_penalty": SearchRange(low=1.0, high=9.0)}}
            ),
            agents=NO_AGENT_SEARCH,
        )
    },
    "agents": {"agents": {"other": RECIPE.agents["ppo"]}},
    "agent_ensemble": {"agent_ensemble": HedgeConfig(kind="hedge")},
}


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_an_outcome_depends_on_names_it(name: str) -> None:
    assert replace(RECIPE, **CHANGES[name]).identity() != RECIPE.identity()
    assert replace(RECIPE).identity() == RECIPE.identity()


def test_returns_and_metrics_of_joined_windows(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    stamps = pd.date_range("2024-01-01", periods=30, tz="UTC")
    tables = [
        pd.DataFrame(
            {
                "timestamp": stamps[first:last],
                **{name: generator.normal(0, 0.01, last - first) for name in ("agent", "flat")},
            }
        )
        for first, last in ((0, 10), (10, 30))
    ]
    performances = [
        {name: {"turnover": value, "exposure": value / 10, "costs": value} for name in ("agent", "flat")}
        for value in (3.0, 6.0)
    ]
    evidence = Evidence.join(tables, 252)
    evidence.write(tmp_path)
    table = pd.read_parquet(tmp_path / "returns.parquet")
    assert table.columns.tolist() == ["timestamp", "window", "agent", "flat"]
    assert table["window"].tolist() == [0] * 10 + [1] * 20
    assert table["timestamp"].tolist() == stamps.tolist()
    again = Evidence.read(tmp_path, 252)
    assert (again.timestamps == stamps.tz_localize(None).to_numpy()).all()
    own = np.concatenate([each["agent"] for each in tables])
    assert (again.returns["agent"] == own).all()
    metrics = again.metrics(performances)["agent"]
    assert metrics["total_return"] == pytest.approx(np.prod(1 + own) - 1)
    assert metrics["sharpe"] == pytest.approx(own.mean() / own.std(ddof=1) * 252**0.5)
    assert (metrics["turnover"], metrics["costs"]) == (pytest.approx(5.0), 9.0)
